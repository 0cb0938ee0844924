package query

import (
	"context"
	"fmt"
	"iter"

	"github.com/treatrelay/relay/pipeline/journal"
)

// How many numbers are read at once on the way back from the end. The engine bounds the bytes of each read.
const (
	firstStep = 512
	largeStep = 8 << 10
)

// NewestEvents yields the newest n of the matching events, in the order of the journal. It looks for the first of them backwards
// from the end, and remembers no events on the way, so memory stays bounded for any n. An error ends the sequence.
func NewestEvents(ctx context.Context, j *journal.Journal, f EventFilter, n int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		from, until, err := eventRange(ctx, j, &f)
		if err != nil {
			yield(Event{}, fmt.Errorf("read the events of the journal: %w", err))
			return
		}
		first, err := f.nthNewest(ctx, j, from, until, n)
		if err != nil {
			yield(Event{}, err)
			return
		}
		for e, err := range f.scan(ctx, j, first, until) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// nthNewest returns the number of the nth matching event, counted backwards from until, or from if there are fewer.
func (f *EventFilter) nthNewest(ctx context.Context, j *journal.Journal, from, until uint64, n int) (uint64, error) {
	for step := uint64(firstStep); from < until; step = min(2*step, largeStep) {
		begin := from
		if until-from > step {
			begin = until - step
		}
		var found []uint64
		for e, err := range f.scan(ctx, j, begin, until) {
			if err != nil {
				return 0, err
			}
			found = append(found, e.Seq)
		}
		if len(found) >= n {
			return found[len(found)-n], nil
		}
		n, until = n-len(found), begin
	}
	return from, nil
}
