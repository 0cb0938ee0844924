package journal

import (
	"context"
	"iter"
	"time"
)

// readBatch is how many records one read returns at most. The engine bounds their bytes.
const readBatch = 512

// Reader is a source of records: a [Log], or the [Journal] on it.
type Reader interface {
	Read(ctx context.Context, from uint64, limit int) ([]Record, error)
	Bounds() (first, next uint64)
}

// Scan yields the records with numbers from from up to, but not including, until, in order. An error ends the sequence. A
// record is valid until the next one is yielded.
func Scan(ctx context.Context, s Reader, from, until uint64) iter.Seq2[*Record, error] {
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

// NewestRecord returns the newest record that r holds. It reports false if there is none.
func NewestRecord(ctx context.Context, s Reader) (r Record, ok bool, err error) {
	first, next := s.Bounds()
	for step := uint64(1); next > first; step *= 16 { // the newest records may be lost
		from := first
		if next-first > step {
			from = next - step
		}
		for one, err := range Scan(ctx, s, from, next) {
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

// SeekTime returns the number of the oldest record journaled at or after t, or the next number if there is none.
func SeekTime(ctx context.Context, s Reader, t time.Time) (uint64, error) {
	low, high := s.Bounds()
	for low < high { // times never decrease
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
