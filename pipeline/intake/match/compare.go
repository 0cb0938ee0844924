// Package match finds out which treats of the provider's history are in the journal and which are missing. It does no
// I/O: the caller provides everything that is compared. Start reading at [Comparison]: the caller adds relay's treats,
// calls [Comparison.Match], and gets the rest from [Comparison.Missing].
package match

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

// A Comparison compares a reply of the history with the treats that relay has. Only the treats of the reply matter: a
// treat that the reply lacks may be late, or older than the history reaches. First count all of relay's treats; then
// [Comparison.Match] pairs them with those of the reply. A Comparison is not safe for concurrent use.
type Comparison struct {
	zone   *time.Location
	now    time.Time
	treats []history.Treat // oldest first
	slots  map[fingerprint.Identity]int32
	next   []uint64 // by slot, the first ordinal such that it and all later ones are free
	since  int64    // date of the oldest treat
	until  int64    // date of the newest treat
	owns   []ownTreat
	// lost holds the treats that the log has lost, by slot, sorted by ordinal.
	lost map[int32][]LostTreat
	matching
}

// An ownTreat is a treat that relay has or had.
type ownTreat struct {
	same    fingerprint.Identity
	core    fingerprint.Core
	number  uint64 // in the log; 0: it just arrived
	kind    ownKind
	partner int32         // index of its partner in the reply, or unmatched
	age     time.Duration // since it was journaled
}

type ownKind uint8

const (
	ownLive       ownKind = iota
	ownBackfilled         // it was backfilled
	ownKnown              // it belongs to a baseline
	ownLost               // the log has lost it
	ownMissing            // the log has lost it, and the reply has it in the same form
)

// unmatched is the partner of a treat without one.
const unmatched = -1

// A LostTreat identifies a treat that the log has lost.
type LostTreat struct {
	Number  uint64 // in the log
	Ordinal uint64 // within its identity
}

// freshness bounds how long a provider takes to add a treat to its history.
const freshness = 2 * time.Minute

// New starts a comparison. treats are those of the reply, in its order; the comparison owns the slice from now on. It
// sorts it by date, and treats of one second in the order in which they were sent. zone applies to dates without a
// zone.
func New(treats []history.Treat, zone *time.Location) *Comparison {
	c := &Comparison{zone: zone, now: time.Now(), treats: treats, slots: make(map[fingerprint.Identity]int32), lost: make(map[int32][]LostTreat)}
	if len(treats) == 0 {
		return c
	}
	if treats[0].Same.Second >= treats[len(treats)-1].Same.Second { // newest first, as usual; matters for treats of one second
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

// Empty reports whether the reply has no treats.
func (c *Comparison) Empty() bool { return len(c.treats) == 0 }

// Bounds returns the range of dates, read as UTC, in which relay's treats matter.
func (c *Comparison) Bounds() (from, to time.Time) {
	const zones = 24 * time.Hour // more than any difference of zones
	return time.Unix(c.since, 0).Add(-WrongZone - zones), time.Unix(c.until, 0).Add(WrongZone + zones)
}

// AddJournaled adds a received treat that is in the log.
func (c *Comparison) AddJournaled(h *index.Hit) {
	same := h.Identity(c.zone)
	c.markTaken(same, h.Repeat)
	o := ownTreat{same: same, core: h.Core, number: h.Number}
	if h.Backfill {
		o.kind = ownBackfilled
	}
	o.age = c.now.Sub(h.Journaled)
	c.add(&o)
}

// AddLive adds a treat that just arrived live.
func (c *Comparison) AddLive(f *fingerprint.Fingerprint) {
	c.add(&ownTreat{same: f.Identity(c.zone), core: f.Core})
}

// AddKnown adds treats of a baseline, as many as the hit counts.
func (c *Comparison) AddKnown(h *index.Hit) {
	for range h.Count {
		c.add(&ownTreat{same: h.Identity(c.zone), core: h.Core, number: h.Number, kind: ownKnown})
	}
}

// MarkTaken marks the ordinals up to that of a treat as taken. It adds no treat, since the baseline counts this one.
func (c *Comparison) MarkTaken(h *index.Hit) { c.markTaken(h.Identity(c.zone), h.Repeat) }

// markTaken marks the ordinals of an identity below next as taken. It reports whether the reply has the identity.
func (c *Comparison) markTaken(same fingerprint.Identity, next uint64) bool {
	slot, ok := c.slots[same]
	if ok {
		c.next[slot] = max(c.next[slot], next)
	}
	return ok
}

// AddLost adds a treat that the log has lost.
func (c *Comparison) AddLost(h *index.Hit) {
	same, ordinal := h.Identity(c.zone), h.Repeat-1
	if !c.markTaken(same, h.Repeat) {
		c.add(&ownTreat{same: same, core: h.Core, number: h.Number, kind: ownLost})
		return
	}
	slot := c.slots[same]
	at, again := slices.BinarySearchFunc(c.lost[slot], ordinal, func(have LostTreat, ordinal uint64) int { return cmp.Compare(have.Ordinal, ordinal) })
	if again { // it was journaled again and lost again
		c.lost[slot][at].Number = max(c.lost[slot][at].Number, h.Number)
		return
	}
	c.lost[slot] = slices.Insert(c.lost[slot], at, LostTreat{h.Number, ordinal})
}

// Lost reports whether the log has lost treats of the reply. Then [Comparison.MarkRestored] must be called for each treat that
// the log holds.
func (c *Comparison) Lost() bool { return len(c.lost) > 0 }

// MarkRestored records that the log holds a treat of that ordinal, in place of a lost one.
func (c *Comparison) MarkRestored(f *fingerprint.Fingerprint, ordinal uint64) {
	if slot, ok := c.slots[f.Identity(c.zone)]; ok {
		c.lost[slot] = slices.DeleteFunc(c.lost[slot], func(p LostTreat) bool { return p.Ordinal == ordinal })
	}
}

// NextLost removes and returns the lost treat of an identity with the lowest ordinal. It reports false if there is
// none.
func (c *Comparison) NextLost(same fingerprint.Identity) (p LostTreat, ok bool) {
	slot := c.slots[same]
	lost := c.lost[slot]
	if len(lost) == 0 {
		return p, false
	}
	c.lost[slot] = lost[1:]
	return lost[0], true
}

// add adds a treat of relay's, unless its date is too far from those of the reply.
func (c *Comparison) add(o *ownTreat) {
	const reach = int64(WrongZone / time.Second)
	if o.same.Second < c.since-reach || o.same.Second > c.until+reach {
		return
	}
	o.partner = unmatched
	c.owns = append(c.owns, *o)
}

// A Missing treat is to be journaled.
type Missing struct {
	history.Treat
	// Lost is the number at which the log has lost it in another form; 0: it has not.
	Lost uint64
}

// Missing returns the treats of the reply that relay lacks, oldest first. Call [Comparison.Match] first.
func (c *Comparison) Missing() (all []Missing) {
	for i, p := range c.treats {
		at := c.partners[i]
		switch {
		case at == unmatched:
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

// Split returns the treats of the reply from before limit, a Unix time, that relay lacks, oldest first. It reports
// whether anything else is missing: treats with later dates, or lost ones. Call [Comparison.Match] first.
func (c *Comparison) Split(limit int64) (all []history.Treat, more bool) {
	for i, p := range c.treats {
		switch at := c.partners[i]; {
		case at != unmatched && c.owns[at].kind < ownLost:
		case at != unmatched, p.Same.Second >= limit:
			more = true
		default:
			all = append(all, p)
		}
	}
	return all, more
}

// Rewritten returns how many treats of the reply relay has in another form. Call [Comparison.Match] first.
func (c *Comparison) Rewritten() (n int) {
	for i := range c.treats {
		if at := c.partners[i]; at != unmatched && c.owns[at].kind < ownLost && c.owns[at].same != c.treats[i].Same {
			n++
		}
	}
	return n
}

// Shares reports whether relay has a treat of the reply from before a time, and whether it has any treat from before
// that time. Call [Comparison.Match] first.
func (c *Comparison) Shares(before int64) (shared, has bool) {
	for i := range c.owns {
		o := &c.owns[i]
		if o.same.Second >= before {
			continue
		}
		shared = shared || o.partner != unmatched && o.kind < ownLost
		has = has || o.partner == unmatched
	}
	return shared, has
}

// Ordinal returns the first free ordinal of an identity that the reply has.
func (c *Comparison) Ordinal(same fingerprint.Identity) uint64 { return c.next[c.slots[same]] }
