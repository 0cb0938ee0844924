package intake

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

// A comparison sets what a reply of the history holds against what relay has. Only what the reply holds counts: what it lacks may
// be late, or older than it reaches. When all that relay has is counted, [comparison.match] finds out which treats are the same.
type comparison struct {
	zone   *time.Location
	now    time.Time
	treats []history.Treat // oldest first
	slots  map[fingerprint.Identity]int32
	next   []uint64 // by slot, an ordinal that is free, and all after it
	since  int64    // of the oldest treat
	until  int64    // of the newest
	owns   []own
	// lost are what relay had and the log has lost, by slot, in the order of their ordinals.
	lost map[int32][]lostTreat
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

// A lostTreat is a treat that the log has lost.
type lostTreat struct {
	number  uint64
	ordinal uint64
}

// freshness is how long a provider takes at most to put into its history what it has just sent.
const freshness = 2 * time.Minute

func newComparison(treats []history.Treat, zone *time.Location) *comparison {
	c := &comparison{zone: zone, now: time.Now(), treats: treats, slots: make(map[fingerprint.Identity]int32), lost: make(map[int32][]lostTreat)}
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

// bounds are the dates, read in UTC, of all that matters of what relay has.
func (c *comparison) bounds() (from, to time.Time) {
	const zones = 24 * time.Hour // more than what a zone moves a date by
	return time.Unix(c.since, 0).Add(-wrongZone - zones), time.Unix(c.until, 0).Add(wrongZone + zones)
}

// count notes that relay has a treat.
func (c *comparison) count(h *index.Hit) {
	same := h.Identity(c.zone)
	c.passed(same, h.Repeat)
	o := own{same: same, core: h.Core, number: h.Number}
	if h.Backfill {
		o.kind = ownHealed
	}
	o.age = c.now.Sub(h.Journaled)
	c.add(&o)
}

// came notes that a treat came live just now.
func (c *comparison) came(f *fingerprint.Fingerprint) {
	c.add(&own{same: f.Identity(c.zone), core: f.Core})
}

// known notes that treats are part of a baseline.
func (c *comparison) known(h *index.Hit) {
	for range h.Count {
		c.add(&own{same: h.Identity(c.zone), core: h.Core, number: h.Number, kind: ownKnown})
	}
}

// passed notes that ordinals of an identity below next may be taken, and reports whether the reply has it.
func (c *comparison) passed(same fingerprint.Identity, next uint64) bool {
	slot, ok := c.slots[same]
	if ok {
		c.next[slot] = max(c.next[slot], next)
	}
	return ok
}

// miss notes that relay had a treat, and that the log has lost it.
func (c *comparison) miss(h *index.Hit) {
	same, ordinal := h.Identity(c.zone), h.Repeat-1
	if !c.passed(same, h.Repeat) {
		c.add(&own{same: same, core: h.Core, number: h.Number, kind: ownLost})
		return
	}
	slot := c.slots[same]
	at, again := slices.BinarySearchFunc(c.lost[slot], ordinal, func(have lostTreat, ordinal uint64) int { return cmp.Compare(have.ordinal, ordinal) })
	if again { // it was journaled again, and lost again
		c.lost[slot][at].number = max(c.lost[slot][at].number, h.Number)
		return
	}
	c.lost[slot] = slices.Insert(c.lost[slot], at, lostTreat{h.Number, ordinal})
}

// found notes that the log has a treat of that ordinal, in place of one that it has lost.
func (c *comparison) found(f *fingerprint.Fingerprint, ordinal uint64) {
	if slot, ok := c.slots[f.Identity(c.zone)]; ok {
		c.lost[slot] = slices.DeleteFunc(c.lost[slot], func(l lostTreat) bool { return l.ordinal == ordinal })
	}
}

// nextLost takes the first of the treats of an identity that the log has lost.
func (c *comparison) nextLost(same fingerprint.Identity) (l lostTreat, ok bool) {
	slot := c.slots[same]
	lost := c.lost[slot]
	if len(lost) == 0 {
		return l, false
	}
	c.lost[slot] = lost[1:]
	return lost[0], true
}

// add notes what relay has, unless it is too far from the reply's treats to be one of them.
func (c *comparison) add(o *own) {
	const reach = int64(wrongZone / time.Second)
	if o.same.Second < c.since-reach || o.same.Second > c.until+reach {
		return
	}
	o.partner = alone
	c.owns = append(c.owns, *o)
}

// A missing treat is to be journaled.
type missing struct {
	history.Treat
	lost   uint64  // the number at which the log has lost it in another form; 0: it has not
	again  bool    // the log has lost it, in whatever form
	credit *credit // of what may come live before its turn
}

// missing returns what the reply holds and relay has not, oldest first. It is to be called after match.
func (c *comparison) missing() (all []missing) {
	for i, p := range c.treats {
		at := c.partners[i]
		switch {
		case at == alone:
			if !c.withheld[i] {
				all = append(all, missing{Treat: p})
			}
		case c.owns[at].kind == ownMissing && c.owns[at].same == p.Same:
			all = append(all, missing{Treat: p, again: true})
		case c.owns[at].kind >= ownLost:
			all = append(all, missing{Treat: p, lost: c.owns[at].number, again: true})
		}
	}
	return all
}

// split returns what the reply holds of before a time and relay has not, oldest first, and whether anything else is missing: what is dated later, or
// the log has lost.
func (c *comparison) split(limit int64) (all []history.Treat, more bool) {
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

// rewritten is how many treats of the reply relay has in another form.
func (c *comparison) rewritten() (n int) {
	for i := range c.treats {
		if at := c.partners[i]; at != alone && c.owns[at].kind < ownLost && c.owns[at].same != c.treats[i].Same {
			n++
		}
	}
	return n
}

// shares reports whether relay has a treat of the reply that is from before a time, and has whether it has any other.
func (c *comparison) shares(before int64) (shared, has bool) {
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

// ordinal is the first that is free for a treat of an identity.
func (c *comparison) ordinal(same fingerprint.Identity) uint64 { return c.next[c.slots[same]] }
