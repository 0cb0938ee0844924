package match

import (
	"cmp"
	"slices"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

const (
	// nearby is how many seconds the date of a treat may be off.
	nearby = 5
	minute = 60
	// Farthest is how many seconds apart two treats of a pair are at most, if one's date has no seconds.
	Farthest = minute - 1 + nearby
)

// matching says which treats of a reply are which of relay's. Each is one other's at most.
//
// A treat is the same as another one if both have the same core, or would if one had not left out a part, and their dates are some seconds apart
// at most; or of the same minute, if one date has no seconds; or whole quarters of an hour apart, by which zones differ, if more treats are that
// far apart than have the same date. As many pairs are made as there can be: if two treats are different after all, a later reply holds both, and
// the second is missing then.
type matching struct {
	partners []int32 // by treat of the reply, its place among those of relay; alone: it has none
	withheld []bool  // by treat of the reply; see [Comparison.withhold]
	shifts   []int64 // by how much dates differ, the most likely first
}

// Match finds the partners of all treats, and what is withheld. It is to be called once, when all that relay has is counted. What is said of pairs is
// good from then on.
func (c *Comparison) Match() {
	c.partners, c.withheld = make([]int32, len(c.treats)), make([]bool, len(c.treats))
	for i := range c.partners {
		c.partners[i] = alone
	}
	for same, slot := range c.slots {
		for _, l := range c.lost[slot] {
			c.add(&own{same: same, number: l.Number, kind: ownMissing})
		}
	}
	c.fillCores()
	for _, lost := range []bool{false, true} {
		c.pairAt(0, lost)
	}
	c.shifts = c.findShifts()
	for _, shift := range c.shifts {
		for _, lost := range []bool{false, true} {
			c.pairAt(shift, lost)
		}
	}
	c.withhold()
	c.pairUnlike()
	c.pairNewest()
}

// fillCores gives a treat of which no core is known that of the reply's treat with the same content and date: one that is lost and has the form of
// that, and one of an older relay's baseline.
func (c *Comparison) fillCores() {
	cores := make(map[fingerprint.Identity]fingerprint.Core)
	for i := range c.owns {
		if o := &c.owns[i]; o.core.IsZero() {
			cores[o.same] = fingerprint.Core{}
		}
	}
	if len(cores) == 0 {
		return
	}
	for i := range c.treats {
		if t := &c.treats[i]; !t.Core.IsZero() {
			if _, asked := cores[t.Same]; asked {
				cores[t.Same] = t.Core
			}
		}
	}
	for i := range c.owns {
		if o := &c.owns[i]; o.core.IsZero() {
			o.core = cores[o.same]
		}
	}
}

// A Trait is what a treat is compared by.
type Trait struct {
	Core    fingerprint.Core
	Content uint64
	Second  int64 // Unix time
}

// TraitOf is the trait of a treat of that core and identity.
func TraitOf(core fingerprint.Core, same fingerprint.Identity) Trait {
	return Trait{core, same.Content, same.Second}
}

// Apart says how different two treats are that may be the same one, and false if they cannot be: the more, the larger the distance. Shifts of the zone
// are left to [Comparison.Match].
func Apart(a, b *Trait) (distance int64, ok bool) {
	if !a.Core.Near(b.Core) {
		return 0, false
	}
	distance = 2 * max(a.Second-b.Second, b.Second-a.Second)
	switch {
	case distance <= 2*nearby:
	case cutToMinute(a.Second, b.Second), cutToMinute(b.Second, a.Second):
		distance = 2*nearby + 1
	default:
		return 0, false
	}
	if a.Content != b.Content {
		distance++
	}
	if a.Core != b.Core {
		distance += 4 * nearby
	}
	return distance, true
}

// cutToMinute reports whether a date may be that of another one without its seconds.
func cutToMinute(cut, whole int64) bool {
	return cut%minute == 0 && cut-nearby <= whole && whole <= cut+Farthest
}

// A contender is a treat of one side that looks for its partner on the other.
type contender struct {
	Trait
	at      int32 // its place in the comparison
	partner int32 // its place among the contenders of the other side
}

func compareContenders(a, b contender) int {
	if order := cmp.Compare(a.Second, b.Second); order != 0 {
		return order
	}
	return cmp.Compare(a.Content, b.Content)
}

// theirs returns the treats of the reply that have no partner, ordered, as if their dates were not shifted.
func (c *Comparison) theirs(shift int64) (theirs []contender) {
	for i := range c.treats {
		if p := &c.treats[i]; c.partners[i] == alone {
			one := contender{TraitOf(p.Core, p.Same), int32(i), alone}
			one.Second -= shift
			theirs = append(theirs, one)
		}
	}
	slices.SortStableFunc(theirs, compareContenders)
	return theirs
}

// ours returns those of relay that have no partner, ordered.
func (c *Comparison) ours(lost bool) (ours []contender) {
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == alone && (o.kind >= ownLost) == lost {
			ours = append(ours, contender{TraitOf(o.core, o.same), int32(i), alone})
		}
	}
	slices.SortStableFunc(ours, compareContenders)
	return ours
}

// pairAt pairs treats whose dates differ by a shift.
func (c *Comparison) pairAt(shift int64, lost bool) {
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

// LivePairs calls visit with each treat of the reply that is the same as one that came live and is in the log, and with the trait of that, in the
// order of the reply's dates. It is to be called after [Comparison.Match].
func (c *Comparison) LivePairs(visit func(p *history.Treat, live Trait)) {
	for i := range c.treats {
		if at := c.partners[i]; at != alone && c.owns[at].kind == ownLive {
			visit(&c.treats[i], TraitOf(c.owns[at].core, c.owns[at].same))
		}
	}
}

func (c *Comparison) pair(their, our int32) { c.partners[their], c.owns[our].partner = our, their }

// crowdOf returns how many of both come before the first gap that is so long that no pair spans it.
func crowdOf(theirs, ours []contender) (n, m int) {
	end := min(theirs[0].Second, ours[0].Second)
	for {
		switch {
		case n < len(theirs) && theirs[n].Second <= end+Farthest && (m == len(ours) || theirs[n].Second <= ours[m].Second):
			end = theirs[n].Second
			n++
		case m < len(ours) && ours[m].Second <= end+Farthest:
			end = ours[m].Second
			m++
		default:
			return n, m
		}
	}
}
