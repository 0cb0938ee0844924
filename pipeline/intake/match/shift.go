package match

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

const (
	quarter = 15 * minute
	// WrongZone bounds how far a wrong time zone moves a treat.
	WrongZone = 15 * time.Hour
	// maxVotes bounds how many own treats one treat of the reply is compared with to find shifts.
	maxVotes = 256
)

// findShifts finds by how many quarters of an hour dates differ. A shift needs more pairs than there are live treats
// with equal dates.
func (c *Comparison) findShifts() (shifts []int64) {
	agreed := 0
	for i := range c.owns {
		if o := &c.owns[i]; o.kind == ownLive && o.partner != unmatched {
			agreed++
		}
	}
	votes := make(map[int64]int)
	theirs, ours := byCore(c.theirs(0)), byCore(slices.Concat(c.ours(false), c.ours(true)))
	for len(theirs) > 0 && len(ours) > 0 {
		core := theirs[0].Core
		switch order := core.Compare(ours[0].Core); {
		case order < 0:
			theirs = theirs[1:]
		case order > 0:
			ours = ours[1:]
		default:
			n, m := ofCore(theirs, core), ofCore(ours, core)
			vote(votes, theirs[:n], ours[:min(m, maxVotes)])
			theirs, ours = theirs[n:], ours[m:]
		}
	}
	for shift, n := range votes {
		if n > agreed {
			shifts = append(shifts, shift)
		}
	}
	slices.SortFunc(shifts, func(a, b int64) int {
		if order := cmp.Compare(votes[b], votes[a]); order != 0 {
			return order
		}
		if order := cmp.Compare(max(a, -a), max(b, -b)); order != 0 {
			return order
		}
		return cmp.Compare(a, b)
	})
	return shifts
}

// vote counts the differences of dates among treats with equal cores.
func vote(votes map[int64]int, theirs, ours []candidate) {
	for i := range theirs {
		seen := make(map[int64]bool)
		for j := range ours {
			their, our := theirs[i].Trait, &ours[j].Trait
			off := their.Second - our.Second
			round := int64(quarter / 2)
			if off < 0 {
				round = -round
			}
			shift := (off + round) / quarter * quarter
			their.Second -= shift
			if _, ok := Cost(&their, our); ok && shift != 0 && max(off, -off) <= int64(WrongZone/time.Second) && !seen[shift] {
				seen[shift] = true
				votes[shift]++
			}
		}
	}
}

func byCore(all []candidate) []candidate {
	slices.SortStableFunc(all, func(a, b candidate) int { return a.Core.Compare(b.Core) })
	return all
}

func ofCore(all []candidate, core fingerprint.Core) int {
	n := 0
	for n < len(all) && all[n].Core == core {
		n++
	}
	return n
}

// InZone converts a cutoff to the zone of a reply's dates, if they have no zone and differ from the configured one. The
// difference is that of the newest live treat at its arrival, or as far east as dates in the future require.
func (c *Comparison) InZone(cutoff, now time.Time, newest *index.Hit, ahead time.Duration) time.Time {
	if !c.floating() {
		return cutoff
	}
	if newest.When.Floating && !newest.Backfill {
		late := newest.When.In(c.zone).Sub(newest.Journaled.Add(ahead))
		zones := late.Round(quarter * time.Second)
		if off := zones.Abs(); off >= 2*quarter*time.Second && off <= WrongZone && (late-zones).Abs() <= clockTolerance {
			return cutoff.Add(zones)
		}
	}
	return cutoff.Add(c.future(now))
}

const (
	// clockTolerance is how far apart two clocks may be.
	clockTolerance = 2 * time.Minute
	// skew is the usual difference of clocks.
	skew = 10 * time.Second
)

// future returns how far east of the configured zone dates in the future are, in whole quarters of an hour; 0: none
// are.
func (c *Comparison) future(now time.Time) time.Duration {
	future := time.Unix(c.until, 0).Sub(now)
	if future <= clockTolerance || future > WrongZone {
		return 0
	}
	return (future - skew + quarter*time.Second - 1).Truncate(quarter * time.Second)
}

// Shift returns by how many seconds the dates of a reply are probably ahead of live ones. It follows from the pairs, or
// else from dates in the future. Call [Comparison.Match] first.
func (c *Comparison) Shift(now time.Time) int64 {
	switch {
	case len(c.shifts) > 0:
		return c.shifts[0]
	case c.floating():
		return int64(c.future(now) / time.Second)
	}
	return 0
}

// floating reports whether the newest date of the reply has no zone.
func (c *Comparison) floating() bool {
	return len(c.treats) > 0 && c.treats[len(c.treats)-1].When.Floating
}
