package intake

import (
	"slices"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

// A role is the relation of a live treat to the history that was read before it arrived.
type role int

const (
	unknownBefore   role = iota // no reply held it
	missingBefore               // a reply held it, and it is about to be backfilled
	journaledBefore             // a reply held it, and it was backfilled
	knownBefore                 // a reply held it, and it belongs to the baseline
)

// overlap holds what an intake knows of the compared replies. A treat can be in a reply before it arrives live. The
// holder of the intake's lock owns it.
type overlap struct {
	watching bool
	watched  []fingerprint.Fingerprint // dated treats queued since the comparison began
	expected []*expectedTreat          // sorted by date
	baseline string                    // the id of the baseline of the treats with knownBefore
}

// An expectedTreat is a treat of a reply that may still arrive live, possibly in another form unless its role is
// knownBefore.
type expectedTreat struct {
	match.Trait
	role role
	last time.Time
	live *match.Trait // the live treat that it was matched with; nil: none yet
	pair bool         // the live treat came before the comparison, which paired it with the reply
}

// unwatch ends the watch of a comparison.
func (o *overlap) unwatch() { o.watching, o.watched = false, nil }

// claim returns the expected treat that a live one is, or nil if there is none. It matches as many as possible, in
// whatever order the treats arrive. To do so it may match earlier treats with others.
func (o *overlap) claim(live match.Trait) *expectedTreat {
	from := sort.Search(len(o.expected), func(i int) bool { return o.expected[i].Second >= live.Second })
	var same *expectedTreat
	for _, c := range o.expected[from:] {
		if c.Second != live.Second {
			break
		}
		if c.Content == live.Content && c.live == nil && (same == nil || c.role < same.role) {
			same = c
		}
	}
	if same != nil {
		same.live = &live
		return same
	}
	return o.augment(&live)
}

// A pathStep is a step of an augmenting path: from a live treat to an expected one that is taken.
type pathStep struct {
	from     *match.Trait
	expected *expectedTreat
	previous int // index of the previous step; -1: the path starts here
}

// augment finds the nearest free expected treat for a live one. If all are taken, it finds an augmenting path that moves
// other treats.
func (o *overlap) augment(live *match.Trait) *expectedTreat {
	var path []pathStep
	seen := make(map[*expectedTreat]bool)
	for at, from := -1, live; ; from = path[at].expected.live {
		for _, c := range o.candidates(from) {
			switch {
			case seen[c]:
			case c.live != nil:
				seen[c] = true
				path = append(path, pathStep{from, c, at})
			default:
				for given := c; ; {
					given.live = from
					if at < 0 {
						return c
					}
					given, from, at = path[at].expected, path[at].from, path[at].previous
				}
			}
		}
		if at++; at == len(path) {
			return nil
		}
	}
}

// candidates returns the expected treats that a live treat may be: free ones first, each group by cost.
func (o *overlap) candidates(live *match.Trait) (all []*expectedTreat) {
	type candidate struct {
		*expectedTreat
		cost int64
	}
	var some []candidate
	from := sort.Search(len(o.expected), func(i int) bool { return o.expected[i].Second >= live.Second-match.MaxSecondsApart })
	for _, c := range o.expected[from:] {
		if c.Second > live.Second+match.MaxSecondsApart {
			break
		}
		if cost, ok := match.Cost(&c.Trait, live); ok && c.role != knownBefore {
			if c.live != nil {
				cost += match.MaxSecondsApart
			}
			some = append(some, candidate{c, cost})
		}
	}
	slices.SortStableFunc(some, func(a, b candidate) int { return int(a.cost - b.cost) })
	for _, one := range some {
		all = append(all, one.expectedTreat)
	}
	return all
}

// expect adds a treat of a reply that may still arrive live.
func (o *overlap) expect(t match.Trait, as role, at time.Time) *expectedTreat {
	c := &expectedTreat{Trait: t, role: as, last: at}
	place := sort.Search(len(o.expected), func(i int) bool { return o.expected[i].Second > t.Second })
	o.expected = slices.Insert(o.expected, place, c)
	return c
}

// missing is a treat of the history to backfill.
type missing struct {
	match.Missing
	expected *expectedTreat // for the case that it arrives live before its turn
}

func missingOf(all []match.Missing) []missing {
	gone := make([]missing, len(all))
	for i := range all {
		gone[i].Missing = all[i]
	}
	return gone
}

// expectMissing adds the treats that are about to be backfilled. Their dates are ahead of live ones by shift. It
// also adds pairs of about the same time, since these may be wrong.
func (o *overlap) expectMissing(c *match.Comparison, gone []missing, shift int64) {
	now := time.Now()
	about := func(second int64) bool {
		next := sort.Search(len(gone), func(i int) bool { return gone[i].Same.Second >= second-2*match.MaxSecondsApart })
		return next < len(gone) && gone[next].Same.Second <= second+2*match.MaxSecondsApart
	}
	shifted := func(t *history.Treat) match.Trait {
		trait := match.TraitOf(t.Core, t.Same)
		trait.Second -= shift
		return trait
	}
	o.expected = slices.DeleteFunc(o.expected, func(c *expectedTreat) bool { return c.pair && about(c.Second+shift) })
	c.LivePairs(func(p *history.Treat, live match.Trait) {
		if about(p.Same.Second) {
			paired := o.expect(shifted(p), journaledBefore, now)
			paired.live, paired.pair = &live, true
		}
	})
	for i := range gone {
		gone[i].expected = o.expect(shifted(&gone[i].Treat), missingBefore, now)
	}
}

// forget drops old expected treats: by now they have arrived or never will.
func (o *overlap) forget(now time.Time) {
	o.expected = slices.DeleteFunc(o.expected, func(c *expectedTreat) bool { return c.role != missingBefore && now.Sub(c.last) > repeatMemory })
}

// endBackfill drops the expected treats of a backfill that is over.
func (o *overlap) endBackfill() {
	for _, c := range o.expected {
		if c.live != nil && c.role == missingBefore {
			c.role = journaledBefore
		}
	}
	o.expected = slices.DeleteFunc(o.expected, func(c *expectedTreat) bool { return c.role == missingBefore })
}
