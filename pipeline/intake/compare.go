package intake

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/index"
)

// A comparison sets what a reply of the history holds against what relay has. Only what the reply holds counts: what it lacks may
// be late, or older than it reaches.
type comparison struct {
	zone    *time.Location
	treats  []past // oldest first
	slots   map[identity]int32
	tallies []tally
	since   int64 // of the oldest treat
	until   int64 // of the newest
	// strangers are what relay has and the reply has not, by what they have in common with the same treat in another form.
	strangers map[form][]stranger
	// lost are what relay had and the log has lost, by slot, in the order of their ordinals.
	lost map[int32][]lostTreat
}

// A tally counts the treats of one identity.
type tally struct {
	have int
	next uint64 // an ordinal that is free, and all after it
}

// A lostTreat is a treat that the log has lost.
type lostTreat struct {
	number  uint64
	ordinal uint64
}

// A stranger is a treat that the reply has not, at least not in this form.
type stranger struct {
	second int64  // in which it was sent
	lost   uint64 // the number at which the log has lost it; 0: it has it
}

// A form is what stays of a treat when its date is written in another zone and its lesser fields are left out: who sent what, and
// where in a quarter of an hour, by which all zones differ.
type form struct {
	core   uint64
	second int16
}

const (
	quarter = 15 * 60
	// wrongZone is how far a zone that is set wrong can move a treat in time.
	wrongZone = 15 * time.Hour
)

func newComparison(treats []past, zone *time.Location) *comparison {
	c := &comparison{
		zone: zone, treats: treats, slots: make(map[identity]int32), strangers: make(map[form][]stranger), lost: make(map[int32][]lostTreat),
	}
	if len(treats) == 0 {
		return c
	}
	if treats[0].same.second >= treats[len(treats)-1].same.second { // newest first, as lists mostly are; this is for those of one second
		slices.Reverse(treats)
	}
	slices.SortStableFunc(treats, func(a, b past) int { return cmp.Compare(a.same.second, b.same.second) })
	c.since, c.until = treats[0].same.second, treats[len(treats)-1].same.second
	for i := range treats {
		if _, ok := c.slots[treats[i].same]; !ok {
			c.slots[treats[i].same] = int32(len(c.tallies)) //nolint:gosec // a reply is bounded
			c.tallies = append(c.tallies, tally{})
		}
	}
	return c
}

// bounds are the dates, read in UTC, of all that matters of what relay has.
func (c *comparison) bounds() (from, to time.Time) {
	const zones = 24 * time.Hour // more than what a zone moves a date by
	return time.Unix(c.since, 0).Add(-wrongZone - zones), time.Unix(c.until, 0).Add(wrongZone + zones)
}

// count notes that relay has n treats of a fingerprint. Ordinals below next may be taken.
func (c *comparison) count(f *index.Fingerprint, n int, next uint64) {
	same := identityOf(f, c.zone)
	if !c.known(same, n, next) && n > 0 {
		c.strange(f, same, 0)
	}
}

// known counts treats of an identity, and reports whether the reply has it.
func (c *comparison) known(same identity, n int, next uint64) bool {
	slot, ok := c.slots[same]
	if ok {
		c.tallies[slot].have += n
		c.tallies[slot].next = max(c.tallies[slot].next, next)
	}
	return ok
}

// miss notes that relay had a treat, and that the log has lost it.
func (c *comparison) miss(f *index.Fingerprint, l lostTreat) {
	same := identityOf(f, c.zone)
	slot, ok := c.slots[same]
	if !ok {
		c.strange(f, same, l.number)
		return
	}
	c.tallies[slot].next = max(c.tallies[slot].next, l.ordinal+1)
	at, again := slices.BinarySearchFunc(c.lost[slot], l.ordinal, func(have lostTreat, ordinal uint64) int { return cmp.Compare(have.ordinal, ordinal) })
	if again { // it was journaled again, and lost again
		c.lost[slot][at].number = max(c.lost[slot][at].number, l.number)
		return
	}
	c.lost[slot] = slices.Insert(c.lost[slot], at, l)
}

// found notes that the log has a treat of that ordinal, in place of one that it has lost.
func (c *comparison) found(f *index.Fingerprint, ordinal uint64) {
	if slot, ok := c.slots[identityOf(f, c.zone)]; ok {
		c.lost[slot] = slices.DeleteFunc(c.lost[slot], func(l lostTreat) bool { return l.ordinal == ordinal })
	}
}

// nextLost takes the first of the treats of an identity that the log has lost.
func (c *comparison) nextLost(same identity) (l lostTreat, ok bool) {
	slot := c.slots[same]
	lost := c.lost[slot]
	if len(lost) == 0 {
		return l, false
	}
	c.lost[slot] = lost[1:]
	return lost[0], true
}

func (c *comparison) strange(f *index.Fingerprint, same identity, lost uint64) {
	if same.second < c.since-int64(wrongZone/time.Second) {
		return
	}
	as := formOf(f, same)
	c.strangers[as] = append(c.strangers[as], stranger{same.second, lost})
}

func formOf(f *index.Fingerprint, same identity) form {
	return form{f.Core, int16(same.second % quarter)}
}

// surplus returns what the reply holds beyond what relay has, oldest first. It is to be called once.
func (c *comparison) surplus() (all []past) {
	for _, p := range c.treats {
		if t := &c.tallies[c.slots[p.same]]; t.have > 0 {
			t.have--
			continue
		}
		all = append(all, p)
	}
	return all
}

// A missing treat is to be journaled.
type missing struct {
	past
	lost uint64 // the number at which the log has lost it in another form; 0: it has not
}

// missing is surplus without the treats that relay has in another form, and how many those are.
//
// A treat is taken for one that relay has if that one has the same sender and title, was sent in the same second or whole quarters
// of an hour from it, and is itself unknown to the reply: the provider then writes one treat in two ways. If they are two after
// all, a later reply holds both, and the second is missing then.
func (c *comparison) missing() (all []missing, rewritten int) {
	for _, p := range c.surplus() {
		s, ok := c.recognize(&p)
		if ok && s.lost == 0 {
			rewritten++
			continue
		}
		all = append(all, missing{p, s.lost})
	}
	return all, rewritten
}

// recognize finds a treat among the strangers, the nearest in time, and takes that out.
func (c *comparison) recognize(p *past) (stranger, bool) {
	as := formOf(&p.Fingerprint, p.same)
	candidates := c.strangers[as]
	best := -1
	distance := func(i int) int64 {
		return max(candidates[i].second-p.same.second, p.same.second-candidates[i].second)
	}
	for i := range candidates {
		if distance(i) <= int64(wrongZone/time.Second) && (best < 0 || distance(i) < distance(best)) {
			best = i
		}
	}
	if best < 0 {
		return stranger{}, false
	}
	found := candidates[best]
	c.strangers[as] = slices.Delete(candidates, best, best+1)
	return found, true
}

// ordinal is the first that is free for a treat of an identity.
func (c *comparison) ordinal(same identity) uint64 { return c.tallies[c.slots[same]].next }
