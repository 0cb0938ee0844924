package intake

import (
	"cmp"
	"slices"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

const (
	// nearby is how many seconds the date of a treat may be off.
	nearby = 5
	minute = 60
	// farthest is how many seconds apart two treats of a pair are at most, if one's date has no seconds.
	farthest = minute - 1 + nearby
)

// matching says which treats of a reply are which of relay's. Each is one other's at most.
//
// A treat is the same as another one if both have the same core, or would if one had not left out a part, and their dates are some seconds apart
// at most; or of the same minute, if one date has no seconds; or whole quarters of an hour apart, by which zones differ, if more treats are that
// far apart than have the same date. As many pairs are made as there can be: if two treats are different after all, a later reply holds both, and
// the second is missing then.
type matching struct {
	partners []int32 // by treat of the reply, its place among those of relay; alone: it has none
	withheld []bool  // by treat of the reply; see [comparison.withhold]
}

// match finds the partners of all treats. It is to be called once.
func (c *comparison) match() {
	c.partners, c.withheld = make([]int32, len(c.treats)), make([]bool, len(c.treats))
	for i := range c.partners {
		c.partners[i] = alone
	}
	for same, slot := range c.slots {
		for _, l := range c.lost[slot] {
			c.add(&own{same: same, number: l.number, kind: ownMissing})
		}
	}
	c.fillCores()
	for _, lost := range []bool{false, true} {
		c.pairAt(0, lost)
	}
	for _, shift := range c.findShifts() {
		for _, lost := range []bool{false, true} {
			c.pairAt(shift, lost)
		}
	}
	c.withhold()
	c.pairUnlike()
}

// fillCores gives a treat of which no core is known that of the reply's treat with the same content and date: one that is lost and has the form of
// that, and one of an older relay's baseline.
func (c *comparison) fillCores() {
	cores := make(map[fingerprint.Identity]fingerprint.Core)
	for i := range c.owns {
		if o := &c.owns[i]; o.core == 0 {
			cores[o.same] = 0
		}
	}
	if len(cores) == 0 {
		return
	}
	for i := range c.treats {
		if t := &c.treats[i]; t.Core != 0 {
			if _, asked := cores[t.Same]; asked {
				cores[t.Same] = t.Core
			}
		}
	}
	for i := range c.owns {
		if o := &c.owns[i]; o.core == 0 {
			o.core = cores[o.same]
		}
	}
}

// A trait is what a treat is compared by.
type trait struct {
	core    fingerprint.Core
	content uint64
	second  int64
}

func traitOf(core fingerprint.Core, same fingerprint.Identity) trait {
	return trait{core, same.Content, same.Second}
}

// apart says how different two treats are that may be the same one, and false if they cannot be.
func apart(a, b *trait) (distance int64, ok bool) {
	if !a.core.Near(b.core) {
		return 0, false
	}
	distance = 2 * max(a.second-b.second, b.second-a.second)
	switch {
	case distance <= 2*nearby:
	case cutToMinute(a.second, b.second), cutToMinute(b.second, a.second):
		distance = 2*nearby + 1
	default:
		return 0, false
	}
	if a.content != b.content {
		distance++
	}
	if a.core != b.core {
		distance += 4 * nearby
	}
	return distance, true
}

// cutToMinute reports whether a date may be that of another one without its seconds.
func cutToMinute(cut, whole int64) bool {
	return cut%minute == 0 && cut-nearby <= whole && whole <= cut+farthest
}

// A contender is a treat of one side that looks for its partner on the other.
type contender struct {
	trait
	at      int32 // its place in the comparison
	partner int32 // its place among the contenders of the other side
}

func compareContenders(a, b contender) int {
	if order := cmp.Compare(a.second, b.second); order != 0 {
		return order
	}
	return cmp.Compare(a.content, b.content)
}

// theirs returns the treats of the reply that have no partner, ordered, as if their dates were not shifted.
func (c *comparison) theirs(shift int64) (theirs []contender) {
	for i := range c.treats {
		if p := &c.treats[i]; c.partners[i] == alone {
			one := contender{traitOf(p.Core, p.Same), int32(i), alone}
			one.second -= shift
			theirs = append(theirs, one)
		}
	}
	slices.SortStableFunc(theirs, compareContenders)
	return theirs
}

// ours returns those of relay that have no partner, ordered.
func (c *comparison) ours(lost bool) (ours []contender) {
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == alone && (o.kind >= ownLost) == lost {
			ours = append(ours, contender{traitOf(o.core, o.same), int32(i), alone})
		}
	}
	slices.SortStableFunc(ours, compareContenders)
	return ours
}

// pairAt pairs treats whose dates differ by a shift.
func (c *comparison) pairAt(shift int64, lost bool) {
	theirs, ours := c.theirs(shift), c.ours(lost)
	for len(theirs) > 0 && len(ours) > 0 {
		n, m := crowdOf(theirs, ours)
		if n > 0 && m > 0 {
			cr := crowd{theirs: theirs[:n], ours: ours[:m]}
			cr.match()
			for i := range cr.theirs {
				if t := &cr.theirs[i]; t.partner != alone {
					c.pair(t.at, cr.ours[t.partner].at)
				}
			}
		}
		theirs, ours = theirs[n:], ours[m:]
	}
}

func (c *comparison) pair(their, our int32) { c.partners[their], c.owns[our].partner = our, their }

// crowdOf returns how many of both come before the first gap that is so long that no pair spans it.
func crowdOf(theirs, ours []contender) (n, m int) {
	end := min(theirs[0].second, ours[0].second)
	for {
		switch {
		case n < len(theirs) && theirs[n].second <= end+farthest && (m == len(ours) || theirs[n].second <= ours[m].second):
			end = theirs[n].second
			n++
		case m < len(ours) && ours[m].second <= end+farthest:
			end = ours[m].second
			m++
		default:
			return n, m
		}
	}
}
