package match

import (
	"cmp"
	"slices"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

const (
	// dateTolerance is how many seconds the date of a treat may be off.
	dateTolerance = 5
	minute        = 60
	// MaxSecondsApart is how many seconds the dates of a pair may be apart. It is large because one date may lack its
	// seconds.
	MaxSecondsApart = minute - 1 + dateTolerance
)

// matching assigns treats of the reply to treats of relay, one to one.
//
// Two treats can be the same if their cores are equal, or would be if one did not lack a part, and if their dates are
// close: within seconds; within the same minute, if one date has no seconds; or apart by a multiple of a quarter of an
// hour, as zones are, if more treats are that far apart than have equal dates. It makes as many pairs as possible. If a
// pair is wrong, a later reply will hold both treats, and then the second is missing.
type matching struct {
	partners []int32 // by treat of the reply, its partner or unmatched
	withheld []bool  // by treat of the reply; see [Comparison.withhold]
	shifts   []int64 // differences of dates, most likely first
}

// Match pairs the treats and decides which ones are withheld. Call it once, after all of relay's treats are counted.
// Methods that report pairs are valid from then on.
func (c *Comparison) Match() {
	c.partners, c.withheld = make([]int32, len(c.treats)), make([]bool, len(c.treats))
	for i := range c.partners {
		c.partners[i] = unmatched
	}
	for same, slot := range c.slots {
		for _, l := range c.lost[slot] {
			c.add(&ownTreat{same: same, number: l.Number, kind: ownMissing})
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
	c.withholdUnrecognized()
	c.withholdNewest()
}

// fillCores completes own treats without a core from treats of the reply with the same content and date. These are lost
// treats in the form of the reply, and treats of baselines made by older versions.
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

// A Trait is what treats are compared by.
type Trait struct {
	Core    fingerprint.Core
	Content uint64
	Second  int64 // Unix time
}

// TraitOf returns the trait of a treat.
func TraitOf(core fingerprint.Core, same fingerprint.Identity) Trait {
	return Trait{core, same.Content, same.Second}
}

// Cost returns the cost of pairing two treats that may be the same, and false if they cannot be. A pair with a lower cost
// is likelier. The cost is not in seconds: it is twice the seconds between the dates, plus a penalty for each other
// difference. It ignores shifts of the zone, which [Comparison.Match] handles.
func Cost(a, b *Trait) (cost int64, ok bool) {
	if !a.Core.Near(b.Core) {
		return 0, false
	}
	cost = 2 * max(a.Second-b.Second, b.Second-a.Second)
	switch {
	case cost <= 2*dateTolerance:
	case equalToTheMinute(a.Second, b.Second), equalToTheMinute(b.Second, a.Second):
		cost = 2*dateTolerance + 1
	default:
		return 0, false
	}
	if a.Content != b.Content {
		cost++
	}
	if a.Core != b.Core {
		cost += 4 * dateTolerance
	}
	return cost, true
}

// equalToTheMinute reports whether one date may be the other without its seconds.
func equalToTheMinute(cut, whole int64) bool {
	return cut%minute == 0 && cut-dateTolerance <= whole && whole <= cut+MaxSecondsApart
}

// A candidate is a treat that needs a partner.
type candidate struct {
	Trait
	at      int32 // index in the comparison
	partner int32 // index among the candidates of the other side; or unmatched
}

func compareCandidates(a, b candidate) int {
	if order := cmp.Compare(a.Second, b.Second); order != 0 {
		return order
	}
	return cmp.Compare(a.Content, b.Content)
}

// theirs returns the sorted treats of the reply without a partner, with the shift removed from their dates.
func (c *Comparison) theirs(shift int64) (theirs []candidate) {
	for i := range c.treats {
		if p := &c.treats[i]; c.partners[i] == unmatched {
			one := candidate{TraitOf(p.Core, p.Same), int32(i), unmatched}
			one.Second -= shift
			theirs = append(theirs, one)
		}
	}
	slices.SortStableFunc(theirs, compareCandidates)
	return theirs
}

// ours returns the sorted treats of relay without a partner.
func (c *Comparison) ours(lost bool) (ours []candidate) {
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == unmatched && (o.kind >= ownLost) == lost {
			ours = append(ours, candidate{TraitOf(o.core, o.same), int32(i), unmatched})
		}
	}
	slices.SortStableFunc(ours, compareCandidates)
	return ours
}

// pairAt pairs treats whose dates differ by a shift.
func (c *Comparison) pairAt(shift int64, lost bool) {
	theirs, ours := c.theirs(shift), c.ours(lost)
	for len(theirs) > 0 && len(ours) > 0 {
		n, m := groupOf(theirs, ours)
		if n > 0 && m > 0 {
			g := group{theirs: theirs[:n], ours: ours[:m]}
			g.match()
			for i := range g.theirs {
				if t := &g.theirs[i]; t.partner != unmatched {
					c.pair(t.at, g.ours[t.partner].at)
				}
			}
		}
		theirs, ours = theirs[n:], ours[m:]
	}
}

// LivePairs calls visit with each treat of the reply whose partner arrived live and is in the log, and with the
// partner's trait, by the date in the reply. Call [Comparison.Match] first.
func (c *Comparison) LivePairs(visit func(p *history.Treat, live Trait)) {
	for i := range c.treats {
		if at := c.partners[i]; at != unmatched && c.owns[at].kind == ownLive {
			visit(&c.treats[i], TraitOf(c.owns[at].core, c.owns[at].same))
		}
	}
}

func (c *Comparison) pair(their, our int32) { c.partners[their], c.owns[our].partner = our, their }

// groupOf returns how many treats of each side come before the first gap that no pair can span.
func groupOf(theirs, ours []candidate) (n, m int) {
	end := min(theirs[0].Second, ours[0].Second)
	for {
		switch {
		case n < len(theirs) && theirs[n].Second <= end+MaxSecondsApart && (m == len(ours) || theirs[n].Second <= ours[m].Second):
			end = theirs[n].Second
			n++
		case m < len(ours) && ours[m].Second <= end+MaxSecondsApart:
			end = ours[m].Second
			m++
		default:
			return n, m
		}
	}
}
