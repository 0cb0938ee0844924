package pipeline

import (
	"context"
	"sync"
	"time"
)

// A role is what a treat that comes live is to a history that was read before.
type role int

const (
	unknownBefore   role = iota // no reply held it
	missingBefore               // a reply held it, and it is about to be journaled from there
	journaledBefore             // a reply held it, and it was journaled from there
	knownBefore                 // a reply held it, and it is part of the baseline
)

// healing is what an intake knows of the replies that were compared with the journal. A treat can be in a reply before it comes
// live: the reply overtakes it. It belongs to the holder of the intake's turn.
type healing struct {
	watched  map[string]trace // the dated treats queued since a comparison began, by id; nil without one
	missing  map[mark]int     // those still to be journaled from the history
	expected map[mark]credit
	baseline string // that the known credits are of
}

// A credit counts the treats of one mark that were in a reply and may still come live.
type credit struct {
	journaled, known int
	last             time.Time
}

// concerned reports whether it matters what comes live.
func (h *healing) concerned() bool {
	return h.watched != nil || len(h.missing) > 0 || len(h.expected) > 0
}

// role says what a treat is that comes live.
func (h *healing) role(m mark) role {
	switch c := h.expected[m]; {
	case h.missing[m] > 0:
		return missingBefore
	case c.journaled > 0:
		return journaledBefore
	case c.known > 0:
		return knownBefore
	}
	return unknownBefore
}

// came counts a treat that came live.
func (h *healing) came(m mark, as role) {
	c := h.expected[m]
	switch as {
	case missingBefore:
		h.take(m)
		return
	case journaledBefore:
		c.journaled--
	case knownBefore:
		c.known--
	case unknownBefore:
		return
	}
	if h.expected[m] = c; c.journaled+c.known == 0 {
		delete(h.expected, m)
	}
}

// take takes one of the missing, and reports whether there was one left.
func (h *healing) take(m mark) bool {
	n := h.missing[m]
	if n <= 1 {
		delete(h.missing, m)
	} else {
		h.missing[m] = n - 1
	}
	return n > 0
}

// backfilled notes that a treat was journaled from the history.
func (h *healing) backfilled(m mark, at time.Time) {
	c := h.expected[m]
	h.expect(m, credit{c.journaled + 1, c.known, at})
}

func (h *healing) expect(m mark, c credit) {
	if h.expected == nil {
		h.expected = make(map[mark]credit)
	}
	h.expected[m] = c
}

// forget drops the credits that are old: what was sent by then has come, or never will.
func (h *healing) forget(now time.Time) {
	for m, c := range h.expected {
		if now.Sub(c.last) > repeatMemory {
			delete(h.expected, m)
		}
	}
}

// A backlog counts what an intake has queued and what of it is on disk. It is safe for use by several goroutines, of which one at
// a time waits.
type backlog struct {
	mu      sync.Mutex
	queued  int64
	written int64
	target  int64         // of who waits
	reached chan struct{} // nil if nobody does
}

func (b *backlog) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued += n
}

func (b *backlog) wrote() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written++; b.reached != nil && b.written >= b.target {
		close(b.reached)
		b.reached = nil
	}
}

// wait returns when all that is queued at the time of the call is on disk, or with the cause of the end of ctx.
func (b *backlog) wait(ctx context.Context) error {
	b.mu.Lock()
	if b.written >= b.queued {
		b.mu.Unlock()
		return nil
	}
	reached := make(chan struct{})
	b.target, b.reached = b.queued, reached
	b.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
