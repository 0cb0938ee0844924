package intake

import (
	"time"

	"github.com/treatrelay/relay/pipeline/intake/index"
)

// An identity tells treats apart as the socket and the history write them: by content and by the second in which they were sent. It
// does not depend on how a date is spelled. Treats that share an identity are counted.
type identity struct {
	content uint64
	second  int64 // Unix time
}

// identityOf is that of a dated treat, given the zone of dates that name none.
func identityOf(f *index.Fingerprint, zone *time.Location) identity {
	return identity{f.Content, f.When.In(zone).Unix()}
}

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
	watching bool
	watched  []index.Fingerprint // the dated treats queued since a comparison began
	missing  map[identity]int    // those still to be journaled from the history
	expected map[identity]credit
	baseline string // that the known credits are of
}

// A credit counts the treats of one identity that were in a reply and may still come live.
type credit struct {
	journaled, known int
	last             time.Time
}

// concerned reports whether it matters what comes live.
func (h *healing) concerned() bool {
	return h.watching || len(h.missing) > 0 || len(h.expected) > 0
}

// role says what a treat is that comes live.
func (h *healing) role(same identity) role {
	switch c := h.expected[same]; {
	case h.missing[same] > 0:
		return missingBefore
	case c.journaled > 0:
		return journaledBefore
	case c.known > 0:
		return knownBefore
	}
	return unknownBefore
}

// came counts a treat that came live.
func (h *healing) came(same identity, as role) {
	c := h.expected[same]
	switch as {
	case missingBefore:
		h.take(same)
		return
	case journaledBefore:
		c.journaled--
	case knownBefore:
		c.known--
	case unknownBefore:
		return
	}
	if h.expected[same] = c; c.journaled+c.known == 0 {
		delete(h.expected, same)
	}
}

// take takes one of the missing, and reports whether there was one left.
func (h *healing) take(same identity) bool {
	n := h.missing[same]
	if n <= 1 {
		delete(h.missing, same)
	} else {
		h.missing[same] = n - 1
	}
	return n > 0
}

// backfilled notes that a treat was journaled from the history.
func (h *healing) backfilled(same identity, at time.Time) {
	c := h.expected[same]
	h.expect(same, credit{c.journaled + 1, c.known, at})
}

func (h *healing) expect(same identity, c credit) {
	if h.expected == nil {
		h.expected = make(map[identity]credit)
	}
	h.expected[same] = c
}

// forget drops the credits that are old: what was sent by then has come, or never will.
func (h *healing) forget(now time.Time) {
	for same, c := range h.expected {
		if now.Sub(c.last) > repeatMemory {
			delete(h.expected, same)
		}
	}
}
