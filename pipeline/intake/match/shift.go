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
	// WrongZone is how far a zone that is set wrong can move a treat in time.
	WrongZone = 15 * time.Hour
	// maxVotes bounds with how many of relay's treats one of the reply is compared to find out by how much zones differ.
	maxVotes = 256
)

// findShifts finds by how many quarters of an hour dates differ: more treats have to be so far apart than came live and have their date.
func (c *Comparison) findShifts() (shifts []int64) {
	agreed := 0
	for i := range c.owns {
		if o := &c.owns[i]; o.kind == ownLive && o.partner != alone {
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

// vote counts by how much the dates of treats of one core differ.
func vote(votes map[int64]int, theirs, ours []contender) {
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
			if _, ok := Apart(&their, our); ok && shift != 0 && max(off, -off) <= int64(WrongZone/time.Second) && !seen[shift] {
				seen[shift] = true
				votes[shift]++
			}
		}
	}
}

func byCore(all []contender) []contender {
	slices.SortStableFunc(all, func(a, b contender) int { return a.Core.Compare(b.Core) })
	return all
}

func ofCore(all []contender, core fingerprint.Core) int {
	n := 0
	for n < len(all) && all[n].Core == core {
		n++
	}
	return n
}

// InZone moves a cutoff to where it is among the dates of a reply that was given at that time, if these name no zone and are of another than the
// configured one: as the newest live treat was when it came, or as far east as dates of the future show.
func (c *Comparison) InZone(cutoff, now time.Time, newest *index.Hit, ahead time.Duration) time.Time {
	if !c.floating() {
		return cutoff
	}
	if newest.When.Floating && !newest.Backfill {
		late := newest.When.In(c.zone).Sub(newest.Journaled.Add(ahead))
		zones := late.Round(quarter * time.Second)
		if off := zones.Abs(); off >= 2*quarter*time.Second && off <= WrongZone && (late-zones).Abs() <= tolerance {
			return cutoff.Add(zones)
		}
	}
	return cutoff.Add(c.future(now))
}

const (
	// tolerance is how far clocks differ at most.
	tolerance = 2 * time.Minute
	// skew is how far they mostly do.
	skew = 10 * time.Second
)

// future is how far east the zone of dates is that are of the future, in whole quarters of an hour; 0: none is.
func (c *Comparison) future(now time.Time) time.Duration {
	future := time.Unix(c.until, 0).Sub(now)
	if future <= tolerance || future > WrongZone {
		return 0
	}
	return (future - skew + quarter*time.Second - 1).Truncate(quarter * time.Second)
}

// Shift is by how much the dates of a reply that was given at that time are probably ahead of those that come live, in seconds: as pairs have shown, or
// else as dates of the future do. It is to be called after [Comparison.Match].
func (c *Comparison) Shift(now time.Time) int64 {
	switch {
	case len(c.shifts) > 0:
		return c.shifts[0]
	case c.floating():
		return int64(c.future(now) / time.Second)
	}
	return 0
}

// floating reports whether the dates of the reply, by its newest, name no zone.
func (c *Comparison) floating() bool {
	return len(c.treats) > 0 && c.treats[len(c.treats)-1].When.Floating
}
