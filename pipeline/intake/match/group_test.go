package match

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

// The pairs of a crowd are as many as there can be.
func TestCrowdHasMostPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (all []candidate) {
			for i := range rapid.IntRange(0, 7).Draw(t, label) {
				sender, message := rapid.SampledFrom([]string{"", "a"}).Draw(t, "sender"), rapid.SampledFrom([]string{"", "b", "c"}).Draw(t, "message")
				core := fingerprint.Of(&pipeline.Data{Sender: &sender, Title: &sender, Message: &message}).Core
				all = append(all, candidate{Trait{core, uint64(rapid.IntRange(0, 1).Draw(t, "content")), int64(rapid.IntRange(50, 75).Draw(t, "second"))}, int32(i), unmatched})
			}
			slices.SortStableFunc(all, compareCandidates)
			return all
		}
		g := group{theirs: draw("theirs"), ours: draw("ours")}
		if rapid.Bool().Draw(t, "as if it were large") {
			g.pairExact()
			g.pairInOrder()
		}
		g.match()
		got := 0
		for i, their := range g.theirs {
			if their.partner == unmatched {
				continue
			}
			got++
			if _, ok := Cost(&their.Trait, &g.ours[their.partner].Trait); !ok || g.ours[their.partner].partner != int32(i) {
				t.Fatalf("%+v is no pair with %+v", their, g.ours[their.partner])
			}
		}
		if want := most(g.theirs, g.ours, 0); got != want {
			t.Fatalf("%d pairs, want %d", got, want)
		}
	})
}

// most tries all ways to make pairs.
func most(theirs, ours []candidate, taken uint) int {
	if len(theirs) == 0 {
		return 0
	}
	best := most(theirs[1:], ours, taken)
	for i := range ours {
		if _, ok := Cost(&theirs[0].Trait, &ours[i].Trait); ok && taken&(1<<i) == 0 {
			best = max(best, 1+most(theirs[1:], ours, taken|1<<i))
		}
	}
	return best
}
