package intake

import (
	"slices"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

// A role is what a treat that comes live is to a history that was read before.
type role int

const (
	unknownBefore   role = iota // no reply held it
	missingBefore               // a reply held it, and it is about to be journaled from there
	journaledBefore             // a reply held it, and it was journaled from there
	knownBefore                 // a reply held it, and it is part of the baseline
)

// healing is what an intake knows of the replies that were compared with the journal. A treat can be in a reply before it comes
// live: the reply overtakes it. It belongs to the holder of the intake's turn.
type healing struct {
	watching bool
	watched  []fingerprint.Fingerprint // the dated treats queued since a comparison began
	credits  []*credit                 // in the order of their dates
	baseline string                    // that the known credits are of
}

// A credit is for one treat that was in a reply and may still come live. Unless it is known it may be written in another way then.
type credit struct {
	match.Trait
	role role
	last time.Time
	live *match.Trait // that has come; nil: none has yet
	pair bool         // it came before the reply was compared, and was paired with what that held
}

// claim finds the credit of a treat that comes live, and nil if there is none. There are as many treats with a credit as there can be, whatever the
// order in which they come: others may get another one for that.
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

// A hop leads from a live treat to a credit that another one has.
type hop struct {
	from   *match.Trait
	credit *credit
	before int // the hop to from; -1: from came just now
}

// reroute finds a credit for a live treat, the nearest, or one for it and others in the place of theirs, by an augmenting path.
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

// near returns the credits that may be a live treat's, those that nobody has first, and of these the nearest.
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

// expect notes that a treat was in a reply, and may still come live.
func (h *healing) expect(t match.Trait, as role, at time.Time) *credit {
	c := &credit{Trait: t, role: as, last: at}
	place := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].Second > t.Second })
	h.credits = slices.Insert(h.credits, place, c)
	return c
}

// A gap is a treat of the history that is to be journaled.
type gap struct {
	match.Missing
	credit *credit // of what may come live before its turn
}

func gapsOf(all []match.Missing) []gap {
	gone := make([]gap, len(all))
	for i := range all {
		gone[i].Missing = all[i]
	}
	return gone
}

// await expects what is about to be journaled from the history, whose dates are ahead of those that come live by a shift. Pairs of about its time are noted too:
// they may be the wrong ones.
func (h *healing) await(c *match.Comparison, gone []gap, shift int64) {
	now := time.Now()
	about := func(second int64) bool {
		next := sort.Search(len(gone), func(i int) bool { return gone[i].Same.Second >= second-2*match.Farthest })
		return next < len(gone) && gone[next].Same.Second <= second+2*match.Farthest
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.pair && about(c.Second+shift) })
	c.LivePairs(func(p *history.Treat, live match.Trait) {
		if about(p.Same.Second) {
			trait := match.TraitOf(p.Core, p.Same)
			trait.Second -= shift
			paired := h.expect(trait, journaledBefore, now)
			paired.live, paired.pair = &live, true
		}
	})
	for i := range gone {
		trait := match.TraitOf(gone[i].Core, gone[i].Same)
		trait.Second -= shift
		gone[i].credit = h.expect(trait, missingBefore, now)
	}
}

// forget drops the credits that are old: what was sent by then has come, or never will.
func (h *healing) forget(now time.Time) {
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role != missingBefore && now.Sub(c.last) > repeatMemory })
}

// drop drops those that are still to be journaled from the history: they are not, or have come live.
func (h *healing) drop() {
	for _, c := range h.credits {
		if c.live != nil && c.role == missingBefore {
			c.role = journaledBefore
		}
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.role == missingBefore })
}
