package pipeline

import (
	"cmp"
	"slices"
	"time"
)

// A comparison sets what a reply of the history holds against what relay has. Only what the reply holds counts: what it lacks may
// be late, or older than it reaches.
type comparison struct {
	zone    *time.Location
	treats  []past // oldest first
	slots   map[mark]int32
	tallies []tally
	since   int64 // of the oldest treat
	// strangers are what relay has and the reply has not, by what they have in common with the same treat in another dress. Each
	// is the second in which it was sent.
	strangers map[dress][]int64
}

// A tally counts the treats of one mark.
type tally struct {
	have int
	next uint64 // an ordinal that is free, and all after it
}

// A dress is what stays of a treat when its date is told in another zone and its lesser fields are left out: who sent what, and
// where in a quarter of an hour, by which all zones differ.
type dress struct {
	core   uint64
	second int16
}

const quarter = 15 * 60

func newComparison(treats []past, zone *time.Location) *comparison {
	c := &comparison{zone: zone, treats: treats, slots: make(map[mark]int32), strangers: make(map[dress][]int64)}
	if len(treats) == 0 {
		return c
	}
	if treats[0].mark.second >= treats[len(treats)-1].mark.second { // newest first, as lists mostly are; this is for those of one second
		slices.Reverse(treats)
	}
	slices.SortStableFunc(treats, func(a, b past) int { return cmp.Compare(a.mark.second, b.mark.second) })
	c.since = treats[0].mark.second
	for _, p := range treats {
		if _, ok := c.slots[p.mark]; !ok {
			c.slots[p.mark] = int32(len(c.tallies)) //nolint:gosec // a reply is bounded
			c.tallies = append(c.tallies, tally{})
		}
	}
	return c
}

// count notes that relay has n treats of a trace. Ordinals below next may be taken.
func (c *comparison) count(t trace, n int, next uint64) {
	m := t.in(c.zone)
	if c.known(m, n, next) || n == 0 || m.second < c.since-int64(wrongZone/time.Second) {
		return
	}
	d := dressOf(t, m)
	c.strangers[d] = append(c.strangers[d], m.second)
}

// known counts treats of a mark, and reports whether the reply has it.
func (c *comparison) known(m mark, n int, next uint64) bool {
	slot, ok := c.slots[m]
	if ok {
		c.tallies[slot].have += n
		c.tallies[slot].next = max(c.tallies[slot].next, next)
	}
	return ok
}

func dressOf(t trace, m mark) dress { return dress{t.core, int16(m.second % quarter)} }

// surplus returns what the reply holds beyond what relay has, oldest first. It is to be called once.
func (c *comparison) surplus() (all []past) {
	for _, p := range c.treats {
		if t := &c.tallies[c.slots[p.mark]]; t.have > 0 {
			t.have--
			continue
		}
		all = append(all, p)
	}
	return all
}

// missing is surplus without the treats that relay has in another dress, and how many those are.
//
// A treat is taken for one that relay has if that one has the same sender and title, was sent in the same second or whole quarters
// of an hour from it, and is itself unknown to the reply: the provider then tells one treat in two ways. If they are two after
// all, a later reply holds both, and the second is missing then.
func (c *comparison) missing() (missing []past, dressed int) {
	for _, p := range c.surplus() {
		if c.recognize(p) {
			dressed++
			continue
		}
		missing = append(missing, p)
	}
	return missing, dressed
}

// recognize finds a treat among the strangers, the nearest in time, and takes that out.
func (c *comparison) recognize(p past) bool {
	d := dressOf(p.trace, p.mark)
	candidates := c.strangers[d]
	best := -1
	distance := func(i int) int64 { return max(candidates[i]-p.mark.second, p.mark.second-candidates[i]) }
	for i := range candidates {
		if distance(i) <= int64(wrongZone/time.Second) && (best < 0 || distance(i) < distance(best)) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	c.strangers[d] = slices.Delete(candidates, best, best+1)
	return true
}

// ordinal is the first that is free for a treat of the mark.
func (c *comparison) ordinal(m mark) uint64 { return c.tallies[c.slots[m]].next }
