package match

import (
	"cmp"
	"slices"
	"sort"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

// A crowd is treats of a reply and of relay of which some may be the same. Both are ordered by date and content. What pairs there can be is for
// [Apart] to say.
type crowd struct {
	theirs, ours []contender
	orders       [4]order
}

// An order is a crowd's ours by their core without a part, and by date: apart from each other those that have the part and those that have not.
type order struct {
	part fingerprint.Part // NoPart: by the whole core
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

// match makes as many pairs as there can be, first of those that are written in the same way.
func (cr *crowd) match() {
	if cr.pairExact(); cr.settled() {
		return
	}
	if len(cr.theirs) > largeCrowd {
		if cr.pairInOrder(); cr.settled() {
			return
		}
	}
	for k, part := range append([]fingerprint.Part{fingerprint.NoPart}, fingerprint.Parts()...) {
		o := order{part, make([]int32, len(cr.ours))}
		for i := range o.at {
			o.at[i] = int32(i)
		}
		slices.SortStableFunc(o.at, func(a, b int32) int { // which are in the order of their dates
			core := cr.ours[a].Core
			return o.compare(core, core.Has(part), cr.ours[b].Core)
		})
		cr.orders[k] = o
	}
	cr.pairNearest()
	cr.reroute()
}

// settled reports whether one side has nobody left.
func (cr *crowd) settled() bool {
	free := func(o contender) bool { return o.partner == alone }
	return !slices.ContainsFunc(cr.theirs, free) || !slices.ContainsFunc(cr.ours, free)
}

func (cr *crowd) pair(their, our int32) {
	cr.theirs[their].partner, cr.ours[our].partner = our, their
}

func (cr *crowd) pairExact() {
	for i, j := 0, 0; i < len(cr.theirs) && j < len(cr.ours); {
		switch order := compareContenders(cr.theirs[i], cr.ours[j]); {
		case order < 0:
			i++
		case order > 0:
			j++
		case !cr.theirs[i].Core.Near(cr.ours[j].Core): // which is hard to get
			i++
		default:
			cr.pair(int32(i), int32(j))
			i++
			j++
		}
	}
}

// largeCrowd is from how many treats on it is too much to look for the nearest among those that are alike.
const largeCrowd = 2000

// pairInOrder pairs those of one core whose dates are near in the order of their dates. Of them no more pairs could be made.
func (cr *crowd) pairInOrder() {
	theirs, ours := byCoreAndDate(cr.theirs), byCoreAndDate(cr.ours)
	for len(theirs) > 0 && len(ours) > 0 {
		t, o := &cr.theirs[theirs[0]], &cr.ours[ours[0]]
		switch order := t.Core.Compare(o.Core); {
		case order < 0, order == 0 && t.Second < o.Second-nearby:
			theirs = theirs[1:]
		case order > 0, t.Second > o.Second+nearby:
			ours = ours[1:]
		default:
			cr.pair(theirs[0], ours[0])
			theirs, ours = theirs[1:], ours[1:]
		}
	}
}

// byCoreAndDate are the places of those without a partner.
func byCoreAndDate(all []contender) (at []int32) {
	for i := range all {
		if all[i].partner == alone {
			at = append(at, int32(i))
		}
	}
	slices.SortStableFunc(at, func(a, b int32) int { return all[a].Core.Compare(all[b].Core) })
	return at
}

// near calls visit with each of ours that may be the same as one of theirs, until it returns false.
func (cr *crowd) near(t *Trait, visit func(our int32, distance int64) bool) {
	from, to := t.Second-nearby, t.Second+nearby
	if t.Second%minute == 0 {
		to = t.Second + Farthest
	}
	more := cr.between(t, from, to, visit)
	for cut := (t.Second - Farthest + minute - 1) / minute * minute; more && cut < from; cut += minute {
		more = cr.between(t, cut, cut, visit)
	}
}

// between is near for those of some seconds. It reports whether visit wants more.
func (cr *crowd) between(t *Trait, from, to int64, visit func(our int32, distance int64) bool) bool {
	for k := range cr.orders {
		o := &cr.orders[k]
		has := o.part != fingerprint.NoPart && !t.Core.Has(o.part) // then it is for those that have it, and else for those that have not
		first := sort.Search(len(o.at), func(i int) bool {
			our := &cr.ours[o.at[i]]
			order := o.compare(t.Core, has, our.Core)
			return order < 0 || order == 0 && our.Second >= from
		})
		for _, at := range o.at[first:] {
			our := &cr.ours[at]
			if o.compare(t.Core, has, our.Core) != 0 || our.Second > to {
				break
			}
			if o.part != fingerprint.NoPart && our.Core == t.Core {
				continue // it was visited
			}
			if distance, ok := Apart(t, &our.Trait); ok && !visit(at, distance) {
				return false
			}
		}
	}
	return true
}

// A bond is a pair that can be.
type bond struct {
	their, our int32
	distance   int64
}

// maxBonds is how many bonds of each treat are remembered; [crowd.reroute] looks at all.
const maxBonds = 8

// pairNearest makes pairs of those that are left, the nearest first.
func (cr *crowd) pairNearest() {
	var all []bond
	for i := range cr.theirs {
		t := &cr.theirs[i]
		if t.partner != alone {
			continue
		}
		var few []bond
		cr.near(&t.Trait, func(our int32, distance int64) bool {
			if cr.ours[our].partner != alone {
				return true
			}
			b := bond{int32(i), our, distance} //nolint:gosec // a reply is bounded
			at, _ := slices.BinarySearchFunc(few, b, func(a, b bond) int { return cmp.Compare(a.distance, b.distance) })
			for at < len(few) && few[at].distance == distance {
				at++
			}
			if few = slices.Insert(few, at, b); len(few) > maxBonds {
				few = few[:maxBonds]
			}
			return true
		})
		all = append(all, few...)
	}
	slices.SortStableFunc(all, func(a, b bond) int { return cmp.Compare(a.distance, b.distance) })
	for _, b := range all {
		if cr.theirs[b.their].partner == alone && cr.ours[b.our].partner == alone {
			cr.pair(b.their, b.our)
		}
	}
}

// reroute gives partners to those that are left by finding other ones for others: by augmenting paths, so that there are as many pairs in the end as
// there can be, or as are found within bounds.
func (cr *crowd) reroute() {
	const most = 50_000_000 // bonds, some seconds of work
	free, looked := 0, 0
	for i := range cr.ours {
		if cr.ours[i].partner == alone {
			free++
		}
	}
	seen := make([]bool, len(cr.ours)) // by one that has found no partner: whom that can reach has none to spare, now or later
	via := make([]int32, len(cr.ours)) // the one of theirs from which it was reached
	for i := range cr.theirs {
		if cr.theirs[i].partner != alone || free == 0 || looked > most {
			continue
		}
		found, reached := int32(alone), []int32(nil)
		for queue := []int32{int32(i)}; len(queue) > 0 && found == alone; queue = queue[1:] {
			their := queue[0]
			cr.near(&cr.theirs[their].Trait, func(our int32, _ int64) bool {
				if looked++; seen[our] {
					return true
				}
				seen[our], via[our], reached = true, their, append(reached, our)
				if cr.ours[our].partner == alone {
					found = our
					return false
				}
				queue = append(queue, cr.ours[our].partner)
				return true
			})
		}
		if found == alone {
			continue
		}
		free--
		for _, our := range reached {
			seen[our] = false
		}
		for our := found; our != alone; {
			their := via[our]
			next := cr.theirs[their].partner
			cr.pair(their, our)
			our = next
		}
	}
}
