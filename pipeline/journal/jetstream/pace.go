package jetstream

import "time"

// A pace decides between single messages, which a server that syncs each write syncs one by one, and an atomic batch, which costs it about as much as dozens of
// singles, however small it is, and shares the sync.
type pace struct {
	never         bool          // the server knows no batches
	single, whole time.Duration // moving averages of what a single and a whole batch take; 0 before the first
}

// The number of entries from which a batch is made: before both are measured, and the bounds of it.
const (
	firstBatchFrom = 16
	minBatchFrom   = 2
	maxBatchFrom   = 64 // so that an outlier does not put an end to batches, and to measuring them
)

// batch reports whether so many entries are better written as a batch.
func (p *pace) batch(n int) bool {
	if p.never {
		return false
	}
	from := firstBatchFrom
	if p.single > 0 && p.whole > 0 {
		from = min(max(int(p.whole/p.single)+1, minBatchFrom), maxBatchFrom)
	}
	return n >= from
}

func (p *pace) measured(n int, batch bool, took time.Duration) {
	average := &p.single
	if batch {
		average = &p.whole
	} else {
		took /= time.Duration(n)
	}
	if *average == 0 {
		*average = took
	}
	*average += (took - *average) / 8
}
