// Package match finds out which treats of the provider's history are which of relay's, and what relay has not. It reads nothing and keeps nothing:
// everything that is compared is handed to it.
package match

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

// A Comparison sets what a reply of the history holds against what relay has. Only what the reply holds counts: what it lacks may
// be late, or older than it reaches. When all that relay has is counted, [Comparison.Match] finds out which treats are the same. A Comparison is not
// safe for use by several goroutines.
type Comparison struct {
	zone   *time.Location
	now    time.Time
	treats []history.Treat // oldest first
	slots  map[fingerprint.Identity]int32
	next   []uint64 // by slot, an ordinal that is free, and all after it
	since  int64    // of the oldest treat
	until  int64    // of the newest
	owns   []own
	// lost are what relay had and the log has lost, by slot, in the order of their ordinals.
	lost map[int32][]Place
	matching
}

// An own is a treat that relay has, or had.
type own struct {
	same    fingerprint.Identity
	core    fingerprint.Core
	number  uint64 // in the log; 0: it came just now
	kind    ownKind
	partner int32         // its place among the treats of the reply; alone: it has none
	age     time.Duration // since it was journaled
}

type ownKind uint8

const (
	ownLive    ownKind = iota
	ownHealed          // it was journaled from the history
	ownKnown           // it is part of a baseline
	ownLost            // the log has lost it
	ownMissing         // likewise, and it has the form of a treat of the reply
)

// alone is the partner of what has none.
const alone = -1

// A Place is that of a treat that the log has lost.
type Place struct {
	Number  uint64 // in the log
	Ordinal uint64 // of its identity
}

// freshness is how long a provider takes at most to put into its history what it has just sent.
const freshness = 2 * time.Minute

// New begins the comparison of the treats of a reply, which are in the order of that. zone is that of dates that name none. The slice is the
// comparison's from then on, which sorts it: oldest first, those of one second in the order in which they were sent.
func New(treats []history.Treat, zone *time.Location) *Comparison {
	c := &Comparison{zone: zone, now: time.Now(), treats: treats, slots: make(map[fingerprint.Identity]int32), lost: make(map[int32][]Place)}
	if len(treats) == 0 {
		return c
	}
	if treats[0].Same.Second >= treats[len(treats)-1].Same.Second { // newest first, as lists mostly are; this is for those of one second
		slices.Reverse(treats)
	}
	slices.SortStableFunc(treats, func(a, b history.Treat) int { return cmp.Compare(a.Same.Second, b.Same.Second) })
	c.since, c.until = treats[0].Same.Second, treats[len(treats)-1].Same.Second
	for i := range treats {
		if _, ok := c.slots[treats[i].Same]; !ok {
			c.slots[treats[i].Same] = int32(len(c.next)) //nolint:gosec // a reply is bounded
			c.next = append(c.next, 0)
		}
	}
	return c
}

// Empty reports whether the reply holds no treats.
func (c *Comparison) Empty() bool { return len(c.treats) == 0 }

// Bounds are the dates, read in UTC, of all that matters of what relay has.
func (c *Comparison) Bounds() (from, to time.Time) {
	const zones = 24 * time.Hour // more than what a zone moves a date by
	return time.Unix(c.since, 0).Add(-WrongZone - zones), time.Unix(c.until, 0).Add(WrongZone + zones)
}

// Count notes that relay has a treat, which was received and is in the log.
func (c *Comparison) Count(h *index.Hit) {
	same := h.Identity(c.zone)
	c.passed(same, h.Repeat)
	o := own{same: same, core: h.Core, number: h.Number}
	if h.Backfill {
		o.kind = ownHealed
	}
	o.age = c.now.Sub(h.Journaled)
	c.add(&o)
}

// Came notes that a treat came live just now, of which nothing else is known yet.
func (c *Comparison) Came(f *fingerprint.Fingerprint) {
	c.add(&own{same: f.Identity(c.zone), core: f.Core})
}

// Known notes that treats are part of a baseline: as many as the hit counts.
func (c *Comparison) Known(h *index.Hit) {
	for range h.Count {
		c.add(&own{same: h.Identity(c.zone), core: h.Core, number: h.Number, kind: ownKnown})
	}
}

// Passed notes that the ordinals up to that of a treat may be taken, and no more: it is part of a baseline, and counted as such.
func (c *Comparison) Passed(h *index.Hit) { c.passed(h.Identity(c.zone), h.Repeat) }

// passed notes that ordinals of an identity below next may be taken, and reports whether the reply has it.
func (c *Comparison) passed(same fingerprint.Identity, next uint64) bool {
	slot, ok := c.slots[same]
	if ok {
		c.next[slot] = max(c.next[slot], next)
	}
	return ok
}

// Miss notes that relay had a treat, and that the log has lost it.
func (c *Comparison) Miss(h *index.Hit) {
	same, ordinal := h.Identity(c.zone), h.Repeat-1
	if !c.passed(same, h.Repeat) {
		c.add(&own{same: same, core: h.Core, number: h.Number, kind: ownLost})
		return
	}
	slot := c.slots[same]
	at, again := slices.BinarySearchFunc(c.lost[slot], ordinal, func(have Place, ordinal uint64) int { return cmp.Compare(have.Ordinal, ordinal) })
	if again { // it was journaled again, and lost again
		c.lost[slot][at].Number = max(c.lost[slot][at].Number, h.Number)
		return
	}
	c.lost[slot] = slices.Insert(c.lost[slot], at, Place{h.Number, ordinal})
}

// Lost reports whether the log has lost treats of the reply: then [Comparison.Found] has to be called for those that it has.
func (c *Comparison) Lost() bool { return len(c.lost) > 0 }

// Found notes that the log has a treat of that ordinal, in place of one that it has lost.
func (c *Comparison) Found(f *fingerprint.Fingerprint, ordinal uint64) {
	if slot, ok := c.slots[f.Identity(c.zone)]; ok {
		c.lost[slot] = slices.DeleteFunc(c.lost[slot], func(p Place) bool { return p.Ordinal == ordinal })
	}
}

// NextLost takes the first of the treats of an identity that the log has lost, in the order of their ordinals, and false if there is none left.
func (c *Comparison) NextLost(same fingerprint.Identity) (p Place, ok bool) {
	slot := c.slots[same]
	lost := c.lost[slot]
	if len(lost) == 0 {
		return p, false
	}
	c.lost[slot] = lost[1:]
	return lost[0], true
}

// add notes what relay has, unless it is too far from the reply's treats to be one of them.
func (c *Comparison) add(o *own) {
	const reach = int64(WrongZone / time.Second)
	if o.same.Second < c.since-reach || o.same.Second > c.until+reach {
		return
	}
	o.partner = alone
	c.owns = append(c.owns, *o)
}

// A Missing treat is to be journaled.
type Missing struct {
	history.Treat
	// Lost is the number at which the log has lost it in another form. 0: it has not.
	Lost uint64
}

// Missing returns what the reply holds and relay has not, oldest first. It is to be called after [Comparison.Match].
func (c *Comparison) Missing() (all []Missing) {
	for i, p := range c.treats {
		at := c.partners[i]
		switch {
		case at == alone:
			if !c.withheld[i] {
				all = append(all, Missing{Treat: p})
			}
		case c.owns[at].kind == ownMissing && c.owns[at].same == p.Same:
			all = append(all, Missing{Treat: p})
		case c.owns[at].kind >= ownLost:
			all = append(all, Missing{Treat: p, Lost: c.owns[at].number})
		}
	}
	return all
}

// Split returns what the reply holds of before a time and relay has not, oldest first, and whether anything else is missing: what is dated later, or
// the log has lost. limit is a Unix time. It is to be called after [Comparison.Match].
func (c *Comparison) Split(limit int64) (all []history.Treat, more bool) {
	for i, p := range c.treats {
		switch at := c.partners[i]; {
		case at != alone && c.owns[at].kind < ownLost:
		case at != alone, p.Same.Second >= limit:
			more = true
		default:
			all = append(all, p)
		}
	}
	return all, more
}

// Rewritten is how many treats of the reply relay has in another form. It is to be called after [Comparison.Match].
func (c *Comparison) Rewritten() (n int) {
	for i := range c.treats {
		if at := c.partners[i]; at != alone && c.owns[at].kind < ownLost && c.owns[at].same != c.treats[i].Same {
			n++
		}
	}
	return n
}

// Shares reports whether relay has a treat of the reply that is from before a time, and has whether it has any other.
// It is to be called after [Comparison.Match].
func (c *Comparison) Shares(before int64) (shared, has bool) {
	for i := range c.owns {
		o := &c.owns[i]
		if o.same.Second >= before {
			continue
		}
		shared = shared || o.partner != alone && o.kind < ownLost
		has = has || o.partner == alone
	}
	return shared, has
}

// Ordinal is the first that is free for a treat of an identity, which the reply has.
func (c *Comparison) Ordinal(same fingerprint.Identity) uint64 { return c.next[c.slots[same]] }
