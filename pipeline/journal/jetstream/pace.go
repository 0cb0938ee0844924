package jetstream

import (
	"math/bits"
	"time"
)

// A pace decides between two ways to write entries. All at once: a server that syncs each write syncs each of them. As an atomic batch: that costs
// the server about as much as dozens of entries, however small it is, and is synced as a whole. Which is faster depends on the server's
// settings, its disk and the number of entries, so it is measured. The zero value is ready.
type pace struct {
	never       bool // the server knows no batches
	single      costs
	batches     costs
	sinceProbed int
}

// costs are moving averages of the time an entry takes, by the number of entries that are written together: an element for each power of two.
type costs [11]time.Duration

const (
	batchMin   = 16                    // from how many entries on a batch is tried the first time
	singleMost = 64                    // and up to how many all at once, which takes long on a slow disk
	probeEvery = 32                    // how often the way is tried that was slower
	probeMost  = 20 * time.Millisecond // and how long that may take, going by what is known
)

func class(n int) int { return min(bits.Len(uint(n)), len(costs{})) - 1 }

// of is the cost of n entries. Where it was not measured, the cost of fewer entries is an upper bound. 0: nothing is known.
func (c *costs) of(n int) time.Duration {
	for i := class(n); i >= 0; i-- {
		if c[i] > 0 {
			return c[i] * time.Duration(n)
		}
	}
	return 0
}

// batch reports whether so many entries are to be written as a batch.
func (p *pace) batch(n int) bool {
	if p.never || n < 2 {
		return false
	}
	single, batch := p.single.of(n), p.batches.of(n)
	switch {
	case single == 0:
		return n > singleMost
	case batch == 0:
		return n >= batchMin
	}
	choice, other := batch < single, max(batch, single)
	if p.sinceProbed++; p.sinceProbed >= probeEvery && other <= probeMost {
		p.sinceProbed = 0
		return !choice
	}
	return choice
}

// measured notes what n entries took.
func (p *pace) measured(n int, batch bool, took time.Duration) {
	c := &p.single
	if batch {
		c = &p.batches
	}
	average, one := &c[class(n)], took/time.Duration(n)
	if *average == 0 {
		*average = one
	}
	*average += (one - *average) / 8
}
