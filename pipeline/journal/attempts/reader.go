package attempts

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Reader reads the log of attempts, whoever writes it. It implements [journal.Attempts]. Its methods are safe for
// concurrent use.
type Reader struct{ log journal.Log }

// NewReader returns a reader of log. If log is nil, there are no attempts.
func NewReader(log journal.Log) Reader { return Reader{log} }

// Of yields the attempts to deliver an event that were made since the given time and are still kept, in the order in which
// they were written. An error ends the sequence.
func (r Reader) Of(ctx context.Context, id string, since time.Time) iter.Seq2[pipeline.Attempt, error] {
	return func(yield func(pipeline.Attempt, error) bool) {
		log := r.log
		if log == nil || id == "" {
			return
		}
		from, err := journal.SeekTime(ctx, log, since) // an attempt is written after it was made
		if err != nil {
			yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts: %w", err))
			return
		}
		quoted := appendText(nil, id)
		wanted := func(text []byte) bool { return bytes.Contains(text, quoted) }
		_, next := log.Bounds()
		for rec, err := range journal.Scan(ctx, log, from, next) {
			if err != nil {
				yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts: %w", err))
				return
			}
			more := true
			_, lines, err := decode(rec.Data)
			if err == nil && wanted(lines) {
				err = eachAttempt(lines, wanted, func(a pipeline.Attempt) bool {
					more = !slices.Contains(a.Events, id) || yield(a, nil)
					return more
				})
			}
			if err != nil {
				yield(pipeline.Attempt{}, fmt.Errorf("read the log of attempts, number %d: %w", rec.Number, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// Newest returns the attempts of a sink that share an entry with its newest one, oldest first. It returns none if the log
// has none of the sink.
func (r Reader) Newest(ctx context.Context, sink string) (all []pipeline.Attempt, err error) {
	if r.log == nil {
		return nil, nil
	}
	last, ok, err := journal.NewestRecord(ctx, r.log)
	if err != nil || !ok {
		return nil, err
	}
	quoted := appendText([]byte(`"sink":`), sink)
	read := func(rec *journal.Record) (before uint64, err error) {
		table, lines, err := decode(rec.Data)
		if err == nil {
			err = eachAttempt(lines, func(line []byte) bool { return bytes.Contains(line, quoted) }, func(a pipeline.Attempt) bool {
				if a.Sink == sink {
					all = append(all, a)
				}
				return true
			})
		}
		if err != nil {
			return 0, fmt.Errorf("number %d of the log of attempts: %w", rec.Number, err)
		}
		return table[sink], nil
	}
	before, err := read(&last)
	if err != nil || len(all) > 0 || before == 0 {
		return all, err
	}
	records, err := r.log.Read(ctx, before, 1)
	if err != nil || len(records) == 0 || records[0].Number != before { // dropped by age, or lost
		return nil, err
	}
	_, err = read(&records[0])
	return all, err
}
