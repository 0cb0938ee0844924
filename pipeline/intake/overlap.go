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
// holder of the intake's turn owns it.
type overlap struct {
	watching bool
	watched  []fingerprint.Fingerprint // dated treats queued since the comparison began
	credits  []*credit                 // sorted by date
	baseline string                    // the id of the baseline of the credits with knownBefore
}

// A credit stands for a treat of a reply that may still arrive live, possibly in another form unless its role is
// knownBefore.
type credit struct {
	match.Trait
	role role
	last time.Time
	live *match.Trait // the live treat that has used the credit; nil: none yet
	pair bool         // the live treat came before the comparison, which paired it with the reply
}

// unwatch ends the watch of a comparison.
func (h *overlap) unwatch() { h.watching, h.watched = false, nil }

// claim returns the credit of a live treat, or nil if there is none. It assigns as many credits as possible, in
// whatever order the treats arrive. To do so it may move earlier treats to other credits.
func (h *overlap) claim(live match.Trait) *credit {
	from := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second >= live.Second })
	var same *credit
	for _, c := range h.credits[from:] {
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
	return h.augment(&live)
}

// A pathStep is a step of an augmenting path: from a live treat to a credit that is taken.
type pathStep struct {
	from     *match.Trait
	credit   *credit
	previous int // index of the previous step; -1: the path starts here
}

// augment finds the nearest free credit for a live treat. If all are taken, it finds an augmenting path that moves
// other treats.
func (h *overlap) augment(live *match.Trait) *credit {
	var path []pathStep
	seen := make(map[*credit]bool)
	for at, from := -1, live; ; from = path[at].credit.live {
		for _, c := range h.candidates(from) {
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
					given, from, at = path[at].credit, path[at].from, path[at].previous
				}
			}
		}
		if at++; at == len(path) {
			return nil
		}
	}
}

// candidates returns the credits that a live treat may claim: free ones first, each group by distance.
func (h *overlap) candidates(live *match.Trait) (all []*credit) {
	type candidate struct {
		*credit
		distance int64
	}
	var some []candidate
	from := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second >= live.Second-match.MaxDistance })
	for _, c := range h.credits[from:] {
		if c.Second > live.Second+match.MaxDistance {
			break
		}
		if distance, ok := match.Distance(&c.Trait, live); ok && c.role != knownBefore {
			if c.live != nil {
				distance += match.MaxDistance
			}
			some = append(some, candidate{c, distance})
		}
	}
	slices.SortStableFunc(some, func(a, b candidate) int { return int(a.distance - b.distance) })
	for _, one := range some {
		all = append(all, one.credit)
	}
	return all
}

// expect adds a credit for a treat of a reply that may still arrive live.
func (h *overlap) expect(t match.Trait, as role, at time.Time) *credit {
	c := &credit{Trait: t, role: as, last: at}
	place := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second > t.Second })
	h.credits = slices.Insert(h.credits, place, c)
	return c
}

// A gap is a treat of the history to backfill.
type missing struct {
	match.Missing
	credit *credit // for the case that it arrives live before its turn
}

func missingOf(all []match.Missing) []missing {
	gone := make([]missing, len(all))
	for i := range all {
		gone[i].Missing = all[i]
	}
	return gone
}

// expectMissing adds credits for the treats that are about to be backfilled. Their dates are ahead of live ones by shift. It
// also adds pairs of about the same time, since these may be wrong.
func (h *overlap) expectMissing(c *match.Comparison, gone []missing, shift int64) {
	now := time.Now()
	about := func(second int64) bool {
		next := sort.Search(len(gone), func(i int) bool { return gone[i].Same.Second >= second-2*match.MaxDistance })
		return next < len(gone) && gone[next].Same.Second <= second+2*match.MaxDistance
	}
	shifted := func(t *history.Treat) match.Trait {
		trait := match.TraitOf(t.Core, t.Same)
		trait.Second -= shift
		return trait
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.pair && about(c.Second+shift) })
	c.LivePairs(func(p *history.Treat, live match.Trait) {
		if about(p.Same.Second) {
			paired := h.expect(shifted(p), journaledBefore, now)
			paired.live, paired.pair = &live, true
		}
	})
	for i := range gone {
		gone[i].credit = h.expect(shifted(&gone[i].Treat), missingBefore, now)
	}
}

// forget drops old credits: by now their treats have arrived or never will.
func (h *overlap) forget(now time.Time) {
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role != missingBefore && now.Sub(c.last) > repeatMemory })
}

// endBackfill ends the credits of a backfill that is over.
func (h *overlap) endBackfill() {
	for _, c := range h.credits {
		if c.live != nil && c.role == missingBefore {
			c.role = journaledBefore
		}
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role == missingBefore })
}
