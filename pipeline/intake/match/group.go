package match

import (
	"cmp"
	"slices"
	"sort"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

// A group is a set of treats of the reply and of relay among which pairs are sought. Both sides are sorted by date
// and content. [Cost] decides which pairs are possible.
type group struct {
	theirs, ours []candidate
	orders       [4]order
}

// An order sorts a group's own treats by core without one part, then by date. Treats that lack the part are kept apart
// from those that have it.
type order struct {
	part fingerprint.Part // NoPart: the whole core
	at   []int32
}

func (o *order) compare(core fingerprint.Core, has bool, other fingerprint.Core) int {
	if otherHas := other.Has(o.part); has != otherHas {
		if has {
			return 1
		}
		return -1
	}
	return core.Without(o.part).Compare(other.Without(o.part))
}

// match makes as many pairs as possible, equal forms first.
func (g *group) match() {
	if g.pairExact(); g.settled() {
		return
	}
	if len(g.theirs) > largeGroup {
		if g.pairInOrder(); g.settled() {
			return
		}
	}
	for part := fingerprint.NoPart; part <= fingerprint.TitlePart; part++ {
		o := order{part, make([]int32, len(g.ours))}
		for i := range o.at {
			o.at[i] = int32(i)
		}
		slices.SortStableFunc(o.at, func(a, b int32) int { // o.at is sorted by date
			core := g.ours[a].Core
			return o.compare(core, core.Has(part), g.ours[b].Core)
		})
		g.orders[part] = o
	}
	g.pairNearest()
	g.augment()
}

// settled reports whether one side has no treat left.
func (g *group) settled() bool {
	free := func(o candidate) bool { return o.partner == unmatched }
	return !slices.ContainsFunc(g.theirs, free) || !slices.ContainsFunc(g.ours, free)
}

func (g *group) pair(their, our int32) {
	g.theirs[their].partner, g.ours[our].partner = our, their
}

func (g *group) pairExact() {
	for i, j := 0, 0; i < len(g.theirs) && j < len(g.ours); {
		switch order := compareCandidates(g.theirs[i], g.ours[j]); {
		case order < 0:
			i++
		case order > 0:
			j++
		case !g.theirs[i].Core.Near(g.ours[j].Core): // which is unlikely to pair
			i++
		default:
			g.pair(int32(i), int32(j))
			i++
			j++
		}
	}
}

// largeGroup is the size at which searching for the nearest of equal treats becomes too expensive.
const largeGroup = 2000

// pairInOrder pairs treats with equal cores and near dates in the order of their dates. This yields the greatest number
// of pairs among them.
func (g *group) pairInOrder() {
	theirs, ours := byCoreAndDate(g.theirs), byCoreAndDate(g.ours)
	for len(theirs) > 0 && len(ours) > 0 {
		t, o := &g.theirs[theirs[0]], &g.ours[ours[0]]
		switch order := t.Core.Compare(o.Core); {
		case order < 0, order == 0 && t.Second < o.Second-dateTolerance:
			theirs = theirs[1:]
		case order > 0, t.Second > o.Second+dateTolerance:
			ours = ours[1:]
		default:
			g.pair(theirs[0], ours[0])
			theirs, ours = theirs[1:], ours[1:]
		}
	}
}

// byCoreAndDate returns the indexes of the treats without a partner.
func byCoreAndDate(all []candidate) (at []int32) {
	for i := range all {
		if all[i].partner == unmatched {
			at = append(at, int32(i))
		}
	}
	slices.SortStableFunc(at, func(a, b int32) int { return all[a].Core.Compare(all[b].Core) })
	return at
}

// near calls visit with each own treat that may pair with one of the reply, until visit returns false.
func (g *group) near(t *Trait, visit func(our int32, cost int64) bool) {
	from, to := t.Second-dateTolerance, t.Second+dateTolerance
	if t.Second%minute == 0 {
		to = t.Second + MaxSecondsApart
	}
	more := g.between(t, from, to, visit)
	for cut := (t.Second - MaxSecondsApart + minute - 1) / minute * minute; more && cut < from; cut += minute {
		more = g.between(t, cut, cut, visit)
	}
}

// between is near for a range of dates. It reports whether to continue.
func (g *group) between(t *Trait, from, to int64, visit func(our int32, cost int64) bool) bool {
	for k := range g.orders {
		o := &g.orders[k]
		has := o.part != fingerprint.NoPart && !t.Core.Has(o.part) // then only treats with the part, otherwise only those without it
		first := sort.Search(len(o.at), func(i int) bool {
			our := &g.ours[o.at[i]]
			order := o.compare(t.Core, has, our.Core)
			return order < 0 || order == 0 && our.Second >= from
		})
		for _, at := range o.at[first:] {
			our := &g.ours[at]
			if o.compare(t.Core, has, our.Core) != 0 || our.Second > to {
				break
			}
			if o.part != fingerprint.NoPart && our.Core == t.Core {
				continue // visited before
			}
			if cost, ok := Cost(t, &our.Trait); ok && !visit(at, cost) {
				return false
			}
		}
	}
	return true
}

// A candidatePair is a possible pair.
type candidatePair struct {
	their, our int32
	cost       int64
}

// maxCandidates bounds the pairs kept per treat. [group.augment] considers all.
const maxCandidates = 8

// pairNearest pairs the remaining treats, nearest first.
func (g *group) pairNearest() {
	var all []candidatePair
	for i := range g.theirs {
		t := &g.theirs[i]
		if t.partner != unmatched {
			continue
		}
		var few []candidatePair
		g.near(&t.Trait, func(our int32, cost int64) bool {
			if g.ours[our].partner != unmatched {
				return true
			}
			b := candidatePair{int32(i), our, cost} //nolint:gosec // a reply is bounded
			at, _ := slices.BinarySearchFunc(few, b, func(a, b candidatePair) int { return cmp.Compare(a.cost, b.cost) })
			for at < len(few) && few[at].cost == cost {
				at++
			}
			if few = slices.Insert(few, at, b); len(few) > maxCandidates {
				few = few[:maxCandidates]
			}
			return true
		})
		all = append(all, few...)
	}
	slices.SortStableFunc(all, func(a, b candidatePair) int { return cmp.Compare(a.cost, b.cost) })
	for _, b := range all {
		if g.theirs[b.their].partner == unmatched && g.ours[b.our].partner == unmatched {
			g.pair(b.their, b.our)
		}
	}
}

// augment pairs the remaining treats by moving other pairs along augmenting paths. The result is the greatest number of
// pairs, or as many as are found within bounds.
func (g *group) augment() {
	const most = 50_000_000 // pairs to visit, some seconds of work
	free, looked := 0, 0
	for i := range g.ours {
		if g.ours[i].partner == unmatched {
			free++
		}
	}
	seen := make([]bool, len(g.ours)) // reached in vain: no path through it leads to a free treat
	via := make([]int32, len(g.ours)) // the treat of the reply from which it was reached
	for i := range g.theirs {
		if g.theirs[i].partner != unmatched || free == 0 || looked > most {
			continue
		}
		found, reached := int32(unmatched), []int32(nil)
		for queue := []int32{int32(i)}; len(queue) > 0 && found == unmatched; queue = queue[1:] {
			their := queue[0]
			g.near(&g.theirs[their].Trait, func(our int32, _ int64) bool {
				if looked++; seen[our] {
					return true
				}
				seen[our], via[our], reached = true, their, append(reached, our)
				if g.ours[our].partner == unmatched {
					found = our
					return false
				}
				queue = append(queue, g.ours[our].partner)
				return true
			})
		}
		if found == unmatched {
			continue
		}
		free--
		for _, our := range reached {
			seen[our] = false
		}
		for our := found; our != unmatched; {
			their := via[our]
			next := g.theirs[their].partner
			g.pair(their, our)
			our = next
		}
	}
}
