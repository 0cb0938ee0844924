package intake

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/index"
)

const (
	// nearby is how many seconds the date of a treat may be off.
	nearby  = 5
	minute  = 60
	quarter = 15 * minute
	// wrongZone is how far a zone that is set wrong can move a treat in time.
	wrongZone = 15 * time.Hour
)

// matching says which treats of a reply are which of relay's. Each is one other's at most.
//
// A treat is the same as another one if both have the same core, or would if one had not left out a part, and their dates are some seconds apart
// at most; or of the same minute, if all dates of one side have no seconds; or whole quarters of an hour apart, by which zones differ, if
// more treats are that far apart than have the same date. As many pairs are made as there can be, and of those the nearest: if two treats are
// different after all, a later reply holds both, and the second is missing then.
type matching struct {
	partners []int32 // by treat of the reply, its place among those of relay; alone: it has none
	shifts   []int64 // by how many seconds dates of the reply are ahead where the zone differs
	minutes  bool    // the dates of one side have no seconds
}

// match finds the partners of all treats. It is to be called once.
func (c *comparison) match() {
	c.partners = make([]int32, len(c.treats))
	for i := range c.partners {
		c.partners[i] = alone
	}
	for same, slot := range c.slots {
		for _, l := range c.lost[slot] {
			c.add(&own{same: same, number: l.number, kind: ownMissing})
		}
	}
	c.fillCores()
	c.minutes = c.noSeconds()
	for _, lost := range []bool{false, true} {
		c.pairAt(0, lost)
	}
	c.findShifts()
	for _, shift := range c.shifts {
		for _, lost := range []bool{false, true} {
			c.pairAt(shift, lost)
		}
	}
}

// fillCores gives what is lost, and has the form of a treat of the reply, that one's core.
func (c *comparison) fillCores() {
	cores := make(map[identity]index.Core)
	if len(c.lost) > 0 {
		for i := range c.treats {
			cores[c.treats[i].same] = c.treats[i].Core
		}
	}
	for i := range c.owns {
		if o := &c.owns[i]; o.kind == ownMissing {
			o.core = cores[o.same]
		}
	}
}

// noSeconds reports whether all dates of the reply, or of what came live, are of a whole minute.
func (c *comparison) noSeconds() bool {
	theirs := !slices.ContainsFunc(c.treats, func(p past) bool { return p.same.second%minute != 0 })
	live := false
	ours := !slices.ContainsFunc(c.owns, func(o own) bool {
		live = live || o.kind == ownLive
		return o.kind == ownLive && o.same.second%minute != 0
	})
	return theirs || ours && live
}

// pairAt pairs treats whose dates differ by a shift.
func (c *comparison) pairAt(shift int64, lost bool) {
	units := []int64{1}
	if c.minutes {
		units = append(units, minute)
	}
	for _, part := range append([]index.Core{0}, index.Core(0).Parts()[:]...) {
		theirs := c.unpaired(part, shift)
		ours := c.unpairedOwns(part, lost)
		eachGroup(theirs, ours, func(theirs, ours []place) {
			for _, unit := range units {
				if part == 0 {
					c.pairGroup(theirs, ours, unit)
					continue
				}
				for _, left := range []bool{true, false} { // the reply has left it out, or has what was left out
					c.pairGroup(having(theirs, part, !left), having(ours, part, left), unit)
				}
			}
		})
	}
}

// A place is that of a treat among its kind, with what it is ordered by.
type place struct {
	group   index.Core // the core without a part
	core    index.Core
	second  int64
	content uint64
	at      int32
}

func comparePlaces(a, b place) int {
	if order := cmp.Compare(a.group, b.group); order != 0 {
		return order
	}
	if order := cmp.Compare(a.second, b.second); order != 0 {
		return order
	}
	return cmp.Compare(a.content, b.content)
}

// unpaired returns the treats of the reply that have no partner, ordered.
func (c *comparison) unpaired(part index.Core, shift int64) (all []place) {
	for i := range c.treats {
		if p := &c.treats[i]; c.partners[i] == alone {
			all = append(all, place{p.Core &^ part, p.Core, p.same.second - shift, p.same.content, int32(i)}) //nolint:gosec // a reply is bounded
		}
	}
	slices.SortStableFunc(all, comparePlaces)
	return all
}

// unpairedOwns returns those of relay that have none.
func (c *comparison) unpairedOwns(part index.Core, lost bool) (all []place) {
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == alone && (o.kind >= ownLost) == lost {
			all = append(all, place{o.core &^ part, o.core, o.same.second, o.same.content, int32(i)}) //nolint:gosec // likewise
		}
	}
	slices.SortStableFunc(all, comparePlaces)
	return all
}

// eachGroup calls visit with the places of each group that both have.
func eachGroup(theirs, ours []place, visit func(theirs, ours []place)) {
	for len(theirs) > 0 && len(ours) > 0 {
		switch group := theirs[0].group; {
		case group < ours[0].group:
			theirs = theirs[1:]
		case group > ours[0].group:
			ours = ours[1:]
		default:
			n, m := runOf(theirs), runOf(ours)
			visit(theirs[:n], ours[:m])
			theirs, ours = theirs[n:], ours[m:]
		}
	}
}

func runOf(places []place) int {
	n := 1
	for n < len(places) && places[n].group == places[0].group {
		n++
	}
	return n
}

// having returns the places that have a part, or those that have left it out.
func having(places []place, part index.Core, has bool) (some []place) {
	for _, p := range places {
		if (p.core&part != 0) == has {
			some = append(some, p)
		}
	}
	return some
}

// pairGroup pairs those of a group whose dates are near, in units of seconds.
func (c *comparison) pairGroup(theirs, ours []place, unit int64) {
	theirs = slices.DeleteFunc(slices.Clone(theirs), func(p place) bool { return c.partners[p.at] != alone })
	ours = slices.DeleteFunc(slices.Clone(ours), func(p place) bool { return c.owns[p.at].partner != alone })
	if unit > 1 {
		for _, side := range [][]place{theirs, ours} {
			for i := range side {
				side[i].second /= unit
			}
		}
		c.pair(theirs, ours, pairs(theirs, ours, 0))
		return
	}
	for len(theirs) > 0 && len(ours) > 0 {
		n, m := clusterOf(theirs, ours)
		c.pairCluster(theirs[:n], ours[:m])
		theirs, ours = theirs[n:], ours[m:]
	}
}

// clusterOf returns how many of both come before the first gap that is so long that no pair spans it.
func clusterOf(theirs, ours []place) (n, m int) {
	end := min(theirs[0].second, ours[0].second)
	for {
		switch {
		case n < len(theirs) && theirs[n].second <= end+nearby && (m == len(ours) || theirs[n].second <= ours[m].second):
			end = theirs[n].second
			n++
		case m < len(ours) && ours[m].second <= end+nearby:
			end = ours[m].second
			m++
		default:
			return n, m
		}
	}
}

// A pair is the places of two within their lists.
type pair struct{ their, our int32 }

// pairCluster makes as many pairs as it can, and of two ways to do so takes the one with the nearer pairs.
func (c *comparison) pairCluster(theirs, ours []place) {
	if len(theirs) == 0 || len(ours) == 0 {
		return
	}
	var nearest []pair
	restTheirs, restOurs := theirs, ours
	whereTheirs, whereOurs := identityMap(len(theirs)), identityMap(len(ours))
	for _, within := range [...]int64{exactly, 0, 1, 2, nearby} {
		found := pairs(restTheirs, restOurs, within)
		for _, p := range found {
			nearest = append(nearest, pair{whereTheirs[p.their], whereOurs[p.our]})
		}
		restTheirs, whereTheirs = without(restTheirs, whereTheirs, found, func(p pair) int32 { return p.their })
		restOurs, whereOurs = without(restOurs, whereOurs, found, func(p pair) int32 { return p.our })
		if len(restTheirs) == 0 || len(restOurs) == 0 {
			break
		}
	}
	if most := pairs(theirs, ours, nearby); len(most) > len(nearest) {
		nearest = most
	}
	c.pair(theirs, ours, nearest)
}

func identityMap(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i) //nolint:gosec // a reply is bounded
	}
	return all
}

// without takes out what is paired. where says where each place was at first.
func without(places []place, where []int32, found []pair, at func(pair) int32) (rest []place, restWhere []int32) {
	if len(found) == 0 {
		return places, where
	}
	for i := range places {
		if len(found) > 0 && int(at(found[0])) == i {
			found = found[1:]
			continue
		}
		rest, restWhere = append(rest, places[i]), append(restWhere, where[i])
	}
	return rest, restWhere
}

// exactly is the distance of treats that are written in the same way.
const exactly = -1

// pairs makes as many pairs as there can be of places within a distance, both lists being ordered. Its pairs are in the order of both.
func pairs(theirs, ours []place, within int64) (all []pair) {
	for i, j := 0, 0; i < len(theirs) && j < len(ours); {
		their, our := &theirs[i], &ours[j]
		order := cmp.Compare(their.second, our.second)
		fits := max(their.second-our.second, our.second-their.second) <= within
		if within == exactly {
			if order == 0 {
				order = cmp.Compare(their.content, our.content)
			}
			fits = order == 0
		}
		switch {
		case fits:
			all = append(all, pair{int32(i), int32(j)}) //nolint:gosec // a reply is bounded
			i++
			j++
		case order < 0:
			i++
		default:
			j++
		}
	}
	return all
}

func (c *comparison) pair(theirs, ours []place, found []pair) {
	for _, p := range found {
		their, our := theirs[p.their].at, ours[p.our].at
		c.partners[their], c.owns[our].partner = our, their
	}
}

// maxVotes bounds with how many of relay's treats one of the reply is compared to find out by how much zones differ.
const maxVotes = 256

// findShifts finds by how many quarters of an hour dates differ: more treats have to be so far apart than came live and have their date.
func (c *comparison) findShifts() {
	agreed := 0
	for i := range c.owns {
		if o := &c.owns[i]; o.kind == ownLive && o.partner != alone {
			agreed++
		}
	}
	votes := make(map[int64]int)
	ours := slices.Concat(c.unpairedOwns(0, false), c.unpairedOwns(0, true))
	slices.SortStableFunc(ours, comparePlaces)
	slack := int64(nearby)
	if c.minutes {
		slack = minute
	}
	eachGroup(c.unpaired(0, 0), ours, func(theirs, ours []place) {
		for _, their := range theirs {
			seen := make(map[int64]bool)
			for _, our := range ours[:min(len(ours), maxVotes)] {
				apart := their.second - our.second
				shift := (apart + quarter/2*cmp.Compare(apart, 0)) / quarter * quarter
				if max(apart, -apart) <= int64(wrongZone/time.Second) && max(apart-shift, shift-apart) <= slack && shift != 0 && !seen[shift] {
					seen[shift] = true
					votes[shift]++
				}
			}
		}
	})
	for shift, n := range votes {
		if n > agreed {
			c.shifts = append(c.shifts, shift)
		}
	}
	slices.SortFunc(c.shifts, func(a, b int64) int {
		if order := cmp.Compare(votes[b], votes[a]); order != 0 {
			return order
		}
		return cmp.Compare(max(a, -a), max(b, -b))
	})
}
