package intake

import (
	"cmp"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

const (
	quarter = 15 * minute
	// wrongZone is how far a zone that is set wrong can move a treat in time.
	wrongZone = 15 * time.Hour
	// maxVotes bounds with how many of relay's treats one of the reply is compared to find out by how much zones differ.
	maxVotes = 256
)

// findShifts finds by how many quarters of an hour dates differ: more treats have to be so far apart than came live and have their date.
func (c *comparison) findShifts() (shifts []int64) {
	agreed := 0
	for i := range c.owns {
		if o := &c.owns[i]; o.kind == ownLive && o.partner != alone {
			agreed++
		}
	}
	votes := make(map[int64]int)
	theirs, ours := byCore(c.theirs(0)), byCore(slices.Concat(c.ours(false), c.ours(true)))
	for len(theirs) > 0 && len(ours) > 0 {
		switch core := theirs[0].core; {
		case core < ours[0].core:
			theirs = theirs[1:]
		case core > ours[0].core:
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
			their, our := theirs[i].trait, &ours[j].trait
			off := their.second - our.second
			round := int64(quarter / 2)
			if off < 0 {
				round = -round
			}
			shift := (off + round) / quarter * quarter
			their.second -= shift
			if _, ok := apart(&their, our); ok && shift != 0 && max(off, -off) <= int64(wrongZone/time.Second) && !seen[shift] {
				seen[shift] = true
				votes[shift]++
			}
		}
	}
}

func byCore(all []contender) []contender {
	slices.SortStableFunc(all, func(a, b contender) int { return cmp.Compare(a.core, b.core) })
	return all
}

func ofCore(all []contender, core fingerprint.Core) int {
	n := 0
	for n < len(all) && all[n].core == core {
		n++
	}
	return n
}
