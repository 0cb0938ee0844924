package jetstream

import (
	"math/bits"
	"time"
)

// A batchTuner chooses how to write entries. All at once: a server that syncs each write syncs each entry. As an atomic
// batch: that costs the server as much as dozens of entries, however small it is, but one sync. Which is faster depends
// on the server's settings, its disk and the number of entries, so it is measured. The zero value is ready for use.
type batchTuner struct {
	never       bool // the server does not support batches
	single      costs
	batches     costs
	sinceProbed int
}

// costs holds moving averages of the time per entry, by the number of entries: an element for each power of two.
type costs [11]time.Duration

const (
	batchMin   = 16                    // the least number of entries for a first try as a batch
	singleMost = 64                    // the most entries for a try all at once, which is slow on a slow disk
	probeEvery = 32                    // how often the slower way is tried
	probeMost  = 20 * time.Millisecond // how long that try may take, as estimated
)

func class(n int) int { return min(bits.Len(uint(n)), len(costs{})) - 1 }

// of returns the cost of n entries. Without a measurement it is bounded by the cost of fewer entries. 0: unknown.
func (c *costs) of(n int) time.Duration {
	for i := class(n); i >= 0; i-- {
		if c[i] > 0 {
			return c[i] * time.Duration(n)
		}
	}
	return 0
}

// batch reports whether to write that many entries as a batch.
func (b *batchTuner) batch(n int) bool {
	if b.never || n < 2 {
		return false
	}
	single, batch := b.single.of(n), b.batches.of(n)
	switch {
	case single == 0:
		return n > singleMost
	case batch == 0:
		return n >= batchMin
	}
	choice, other := batch < single, max(batch, single)
	if b.sinceProbed++; b.sinceProbed >= probeEvery && other <= probeMost {
		b.sinceProbed = 0
		return !choice
	}
	return choice
}

// measured records the time that n entries took.
func (b *batchTuner) measured(n int, batch bool, took time.Duration) {
	c := &b.single
	if batch {
		c = &b.batches
	}
	average, one := &c[class(n)], took/time.Duration(n)
	if *average == 0 {
		*average = one
	}
	*average += (one - *average) / 8
}
