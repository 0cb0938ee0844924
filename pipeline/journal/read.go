package journal

import (
	"context"
	"iter"
	"time"
)

// readBatch is how many records are read at a time. An engine bounds their bytes.
const readBatch = 512

// source is what records are read from: a log, or the journal on it.
type source interface {
	Read(ctx context.Context, from uint64, limit int) ([]Record, error)
	Bounds() (first, next uint64)
}

// scan yields the records from number from on and before until, in order. An error is the last thing it yields.
func scan(ctx context.Context, s source, from, until uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for from < until {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			records, err := s.Read(ctx, from, int(min(until-from, readBatch)))
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range records {
				if records[i].Number >= until || !yield(&records[i], nil) {
					return
				}
			}
			if len(records) == 0 {
				return
			}
			from = records[len(records)-1].Number + 1
		}
	}
}

// newest returns the newest record that is held.
func newest(ctx context.Context, s source) (r Record, ok bool, err error) {
	first, next := s.Bounds()
	for step := uint64(1); next > first; step *= 16 { // the newest numbers may be lost
		from := first
		if next-first > step {
			from = next - step
		}
		for one, err := range scan(ctx, s, from, next) {
			if err != nil {
				return r, false, err
			}
			r, ok = *one, true
		}
		if ok || from == first {
			break
		}
	}
	return r, ok, nil
}

// seekTime returns the number of the oldest record of or after t, or the next number if there is none.
func seekTime(ctx context.Context, s source, t time.Time) (uint64, error) {
	low, high := s.Bounds()
	for low < high { // times never fall
		mid := low + (high-low)/2
		records, err := s.Read(ctx, mid, 1)
		if err != nil {
			return 0, err
		}
		if len(records) == 0 || !records[0].Time.Before(t) {
			high = mid
			continue
		}
		low = records[0].Number + 1
	}
	return low, nil
}
