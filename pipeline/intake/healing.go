package intake

import (
	"slices"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
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
	trait
	role role
	last time.Time
	live *trait // that has come; nil: none has yet
	pair bool   // it came before the reply was compared, and was paired with what that held
}

// claim finds the credit of a treat that comes live, and nil if there is none. There are as many treats with a credit as there can be, whatever the
// order in which they come: others may get another one for that.
func (h *healing) claim(live trait) *credit {
	from := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].second >= live.second })
	var same *credit
	for _, c := range h.credits[from:] {
		if c.second != live.second {
			break
		}
		if c.content == live.content && c.live == nil && (same == nil || c.role < same.role) {
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
	from   *trait
	credit *credit
	before int // the hop to from; -1: from came just now
}

// reroute finds a credit for a live treat, the nearest, or one for it and others in the place of theirs, by an augmenting path.
func (h *healing) reroute(live *trait) *credit {
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
func (h *healing) near(live *trait) (all []*credit) {
	type candidate struct {
		*credit
		distance int64
	}
	var some []candidate
	from := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].second >= live.second-farthest })
	for _, c := range h.credits[from:] {
		if c.second > live.second+farthest {
			break
		}
		if distance, ok := apart(&c.trait, live); ok && c.role != knownBefore {
			if c.live != nil {
				distance += farthest
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
func (h *healing) expect(t trait, as role, at time.Time) *credit {
	c := &credit{trait: t, role: as, last: at}
	place := sort.Search(len(h.credits), func(i int) bool { return h.credits[i].second > t.second })
	h.credits = slices.Insert(h.credits, place, c)
	return c
}

// await expects what is about to be journaled from the history. Pairs of about its time are noted too: they may be the wrong ones.
func (h *healing) await(c *comparison, gone []missing) {
	now := time.Now()
	about := func(second int64) bool {
		next := sort.Search(len(gone), func(i int) bool { return gone[i].Same.Second >= second-2*farthest })
		return next < len(gone) && gone[next].Same.Second <= second+2*farthest
	}
	h.credits = slices.DeleteFunc(h.credits, func(c *credit) bool { return c.pair && about(c.second) })
	for i := range c.treats {
		p := &c.treats[i]
		if at := c.partners[i]; at != alone && c.owns[at].kind == ownLive && about(p.Same.Second) {
			paired := h.expect(traitOf(p.Core, p.Same), journaledBefore, now)
			live := traitOf(c.owns[at].core, c.owns[at].same)
			paired.live, paired.pair = &live, true
		}
	}
	for i := range gone {
		gone[i].credit = h.expect(traitOf(gone[i].Core, gone[i].Same), missingBefore, now)
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
