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

// healing holds what an intake knows of the compared replies. A treat can be in a reply before it arrives live. The
// holder of the intake's turn owns it.
type healing struct {
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
func (h *healing) unwatch() { h.watching, h.watched = false, nil }

// claim returns the credit of a live treat, or nil if there is none. It assigns as many credits as possible, in
// whatever order the treats arrive. To do so it may move earlier treats to other credits.
func (h *healing) claim(live match.Trait) *credit {
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
	return h.reroute(&live)
}

// A hop is a step of an augmenting path: from a live treat to a credit that is taken.
type hop struct {
	from   *match.Trait
	credit *credit
	before int // index of the previous hop; -1: the path starts here
}

// reroute finds the nearest free credit for a live treat. If all are taken, it finds an augmenting path that moves
// other treats.
func (h *healing) reroute(live *match.Trait) *credit {
	var hops []hop
	seen := make(map[*credit]bool)
	for at, from := -1, live; ; from = hops[at].credit.live {
		for _, c := range h.near(from) {
			switch {
			case seen[c]:
			case c.live != nil:
				seen[c] = true
				hops = append(hops, hop{from, c, at})
			default:
				for given := c; ; {
					given.live = from
					if at < 0 {
						return c
					}
					given, from, at = hops[at].credit, hops[at].from, hops[at].before
				}
			}
		}
		if at++; at == len(hops) {
			return nil
		}
	}
}

// near returns the credits that a live treat may claim: free ones first, each group by distance.
func (h *healing) near(live *match.Trait) (all []*credit) {
	type candidate struct {
		*credit
		distance int64
	}
	var some []candidate
	from := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second >= live.Second-match.Farthest })
	for _, c := range h.credits[from:] {
		if c.Second > live.Second+match.Farthest {
			break
		}
		if distance, ok := match.Apart(&c.Trait, live); ok && c.role != knownBefore {
			if c.live != nil {
				distance += match.Farthest
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
func (h *healing) expect(t match.Trait, as role, at time.Time) *credit {
	c := &credit{Trait: t, role: as, last: at}
	place := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second > t.Second })
	h.credits = slices.Insert(h.credits, place, c)
	return c
}

// A gap is a treat of the history to backfill.
type gap struct {
	match.Missing
	credit *credit // for the case that it arrives live before its turn
}

func gapsOf(all []match.Missing) []gap {
	gone := make([]gap, len(all))
	for i := range all {
		gone[i].Missing = all[i]
	}
	return gone
}

// await adds credits for the treats that are about to be backfilled. Their dates are ahead of live ones by shift. It
// also adds pairs of about the same time, since these may be wrong.
func (h *healing) await(c *match.Comparison, gone []gap, shift int64) {
	now := time.Now()
	about := func(second int64) bool {
		next := sort.Search(len(gone), func(i int) bool { return gone[i].Same.Second >= second-2*match.Farthest })
		return next < len(gone) && gone[next].Same.Second <= second+2*match.Farthest
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.pair && about(c.Second) })
	c.LivePairs(func(p *history.Treat, live match.Trait) {
		if about(p.Same.Second) {
			paired := h.expect(match.TraitOf(p.Core, p.Same), journaledBefore, now)
			paired.live, paired.pair = &live, true
		}
	})
	for i := range gone {
		trait := match.TraitOf(gone[i].Core, gone[i].Same)
		trait.Second -= shift
		gone[i].credit = h.expect(trait, missingBefore, now)
	}
}

// forget drops old credits: by now their treats have arrived or never will.
func (h *healing) forget(now time.Time) {
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role != missingBefore && now.Sub(c.last) > repeatMemory })
}

// drop ends the credits of a backfill that is over.
func (h *healing) drop() {
	for _, c := range h.credits {
		if c.live != nil && c.role == missingBefore {
			c.role = journaledBefore
		}
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role == missingBefore })
}
