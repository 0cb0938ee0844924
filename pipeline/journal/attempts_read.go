package journal

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Attempts yields the attempts to deliver an event that were made since the given time, as far as they are kept, in the order in
// which they were written. An error is the last thing it yields.
func (j *Journal) Attempts(ctx context.Context, id string, since time.Time) iter.Seq2[pipeline.Attempt, error] {
	return func(yield func(pipeline.Attempt, error) bool) {
		log := j.cfg.Attempts
		if log == nil || id == "" {
			return
		}
		from, err := seekTime(ctx, log, since) // it was written after it was made
		if err != nil {
			yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts: %w", err))
			return
		}
		quoted := appendText(nil, id)
		wanted := func(text []byte) bool { return bytes.Contains(text, quoted) }
		_, next := log.Bounds()
		for r, err := range scan(ctx, log, from, next) {
			if err != nil {
				yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts: %w", err))
				return
			}
			more := true
			_, lines, err := decodeAttempts(r.Data)
			if err == nil && wanted(lines) {
				err = attemptsIn(lines, wanted, func(a pipeline.Attempt) bool {
					more = !slices.Contains(a.Events, id) || yield(a, nil)
					return more
				})
			}
			if err != nil {
				yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts, number %d: %w", r.Number, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// lastAttempts returns the attempts of a sink that were written together with its newest, in their order.
func lastAttempts(ctx context.Context, log Log, sink string) (all []pipeline.Attempt, err error) {
	last, ok, err := newest(ctx, log)
	if err != nil || !ok {
		return nil, err
	}
	quoted := appendText([]byte(`"sink":`), sink)
	of := func(r *Record) (before uint64, err error) {
		table, lines, err := decodeAttempts(r.Data)
		if err == nil {
			err = attemptsIn(lines, func(line []byte) bool { return bytes.Contains(line, quoted) }, func(a pipeline.Attempt) bool {
				if a.Sink == sink {
					all = append(all, a)
				}
				return true
			})
		}
		if err != nil {
			return 0, fmt.Errorf("number %d of the log of attempts: %w", r.Number, err)
		}
		return table[sink], nil
	}
	before, err := of(&last)
	if err != nil || len(all) > 0 || before == 0 {
		return all, err
	}
	records, err := log.Read(ctx, before, 1)
	if err != nil || len(records) == 0 || records[0].Number != before { // it was dropped by age, or lost
		return nil, err
	}
	_, err = of(&records[0])
	return all, err
}
