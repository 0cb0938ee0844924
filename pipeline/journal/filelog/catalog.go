package filelog

import (
	"sort"
	"sync"
	"time"
)

// segment is what is known of one. The catalog's lock guards it.
type segment struct {
	first, last    uint64 // last is first-1 if it holds nothing
	size           int64  // up to where it is written
	allocated      int64  // of the file
	oldest, newest time.Time
	places         []place // while it is written, and until its index is
	indexed        bool    // the file of its index is there
}

// view is a segment at one moment, and where to read in it.
type view struct {
	first, last uint64
	size        int64 // -1: as the file is
	start       place // the record to begin at; number 0: the beginning
	indexed     bool
}

// catalog holds the segments in order, of which the last one is written to, and the bounds of the log.
type catalog struct {
	mu      sync.RWMutex
	segs    []*segment
	next    uint64
	changed chan struct{}
}

func (c *catalog) bounds() (first, next uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.first(), c.next
}

// first is called with the lock held.
func (c *catalog) first() uint64 {
	for _, s := range c.segs {
		if s.last >= s.first {
			return min(s.first, c.next)
		}
	}
	return c.next
}

// watch returns a channel that is closed by the next change.
func (c *catalog) watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// update changes the catalog and tells who watches, if the bounds are others afterwards.
func (c *catalog) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, next := c.first(), c.next
	change()
	if c.changed != nil && (first != c.first() || next != c.next) {
		close(c.changed)
		c.changed = nil
	}
}

// active is called with the lock held. It is nil if there is none.
func (c *catalog) active() *segment {
	if len(c.segs) == 0 {
		return nil
	}
	return c.segs[len(c.segs)-1]
}

// locate returns the segment with the first record that is not below from, and reports false if there is none.
func (c *catalog) locate(from uint64) (view, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if from >= c.next {
		return view{}, false
	}
	i := max(sort.Search(len(c.segs), func(i int) bool { return c.segs[i].first > from })-1, 0)
	for ; i < len(c.segs); i++ {
		s := c.segs[i]
		last := min(s.last, c.next-1)
		if last < s.first || last < from {
			continue
		}
		v := view{first: s.first, last: last, size: s.size, indexed: s.indexed, start: findPlace(s.places, from)}
		return v, true
	}
	return view{}, false
}

// findPlace returns the last place that is not behind a number.
func findPlace(places []place, number uint64) place {
	i := sort.Search(len(places), func(i int) bool { return places[i].number > number }) - 1
	if i < 0 {
		return place{}
	}
	return places[i]
}

// sealed returns the segments that are no longer written to.
func (c *catalog) sealed() []segment {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []segment
	for _, s := range c.segs[:max(len(c.segs)-1, 0)] {
		list = append(list, *s)
	}
	return list
}

func (c *catalog) disk() (n int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.segs {
		n += max(s.size, s.allocated)
	}
	return n
}

// forget drops a segment that is not there. It is called by a change.
func (c *catalog) forget(first uint64) {
	for i, s := range c.segs {
		if s.first == first && i+1 < len(c.segs) {
			c.segs = append(c.segs[:i:i], c.segs[i+1:]...)
			return
		}
	}
}
