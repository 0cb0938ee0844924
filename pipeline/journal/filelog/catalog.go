package filelog

import (
	"sort"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// segmentInfo is what the log knows of a segment. The catalog's lock guards it.
type segmentInfo struct {
	first, last    uint64 // last is first-1 if the segment is empty
	size           int64  // bytes written
	allocated      int64  // size of the file, if it is preallocated
	oldest, newest time.Time
	entries        []segment.IndexEntry // until its index is written
	indexed        bool                 // its index file exists
}

// view is a snapshot of a segment, and where to start reading.
type view struct {
	first, last uint64
	size        int64              // -1: the size of the file
	start       segment.IndexEntry // the record to start at; number 0: the first
	indexed     bool
}

// catalog holds the segments in order and the bounds of the log. The last segment is the active one.
type catalog struct {
	mu      sync.RWMutex
	segs    []*segmentInfo
	next    uint64
	changed chan struct{}
}

func (c *catalog) bounds() (first, next uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.first(), c.next
}

// first returns the number of the oldest record. c.mu is held.
func (c *catalog) first() uint64 {
	for _, s := range c.segs {
		if s.last >= s.first {
			return min(s.first, c.next)
		}
	}
	return c.next
}

// watch returns a channel that the next change of the bounds closes.
func (c *catalog) watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// update changes the catalog under the lock. It wakes the watchers if the bounds have changed.
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

// active returns the last segment, or nil if there is none. c.mu is held.
func (c *catalog) active() *segmentInfo {
	if len(c.segs) == 0 {
		return nil
	}
	return c.segs[len(c.segs)-1]
}

// locate returns the segment with the first record numbered from or later. It reports false if there is none.
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
		v := view{first: s.first, last: last, size: s.size, indexed: s.indexed, start: segment.FindEntry(s.entries, from)}
		return v, true
	}
	return view{}, false
}

// sealed returns all segments but the active one.
func (c *catalog) sealed() []segmentInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []segmentInfo
	for _, s := range c.segs[:max(len(c.segs)-1, 0)] {
		list = append(list, *s)
	}
	return list
}

// disk returns how many bytes the segments take on disk.
func (c *catalog) disk() (n int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.segs {
		n += max(s.size, s.allocated)
	}
	return n
}

// forget removes a sealed segment. c.mu is held.
func (c *catalog) forget(first uint64) {
	for i, s := range c.segs {
		if s.first == first && i+1 < len(c.segs) {
			c.segs = append(c.segs[:i:i], c.segs[i+1:]...)
			return
		}
	}
}
