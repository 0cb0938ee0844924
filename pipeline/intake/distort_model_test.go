package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// Whatever form the history gives to each treat, and whatever is missed, late, alike, or in the history first: each is journaled once.
func TestDistortedHistoryModel(t *testing.T) {
	r, begin, cases := newRigKept(t, t.TempDir(), 840*time.Hour), evening().Truncate(time.Minute), 0
	rapid.Check(t, func(rt *rapid.T) {
		cases++
		account, p := fmt.Sprint("acc", cases), &provider{}
		in := r.intake(account)
		rec := NewReconciler(in, p, ReconcileConfig{Logins: &logins{login: Login{"1", begin.Add(-time.Hour), true}}})
		look := func() {
			rt.Log("look")
			if _, err := rec.attempt(t.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		receive := func(one map[string]any) {
			rt.Logf("live: %s", text(one))
			r.live(in, text(one))
		}
		look()
		all := drawForms(rt) // of the history
		alike := rapid.Bool().Draw(rt, "all are in the same form")
		const first = 5 // digits that are in no entity
		var sent [3]int
		var wire []map[string]any
		second := 0
		for range rapid.IntRange(1, 30).Draw(rt, "treats") {
			kind := rapid.IntRange(0, len(sent)-1).Draw(rt, "kind")
			second += rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3, 5, 11, 30, 70}).Draw(rt, "pause")
			one := gift(kind+first, begin, second)
			if rapid.IntRange(0, 4).Draw(rt, "without a message") == 0 {
				delete(one, "message")
			}
			sent[kind]++
			forms := all
			if !alike {
				forms = drawForms(rt)
			}
			if _, has := one["message"]; !has { // only one may be left out
				forms = append(slices.Clone(forms), func(t map[string]any) { t["sender"], t["title"] = one["sender"], one["title"] })
			}
			p.add(text(one, forms...))
			rt.Logf("%d s: %s, in the history %s", second, text(one), text(one, forms...))
			if rapid.IntRange(0, 3).Draw(rt, "arrives") > 0 {
				wire = append(wire, one)
			}
			for len(wire) > 0 && rapid.IntRange(0, 2).Draw(rt, "receive") > 0 {
				receive(wire[0])
				wire = wire[1:]
			}
			if rapid.IntRange(0, 5).Draw(rt, "look") == 0 {
				look()
			}
		}
		for _, one := range wire {
			receive(one)
		}
		look()
		if err := in.Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		var have [len(sent)]int
		for _, e := range r.journaled(account) {
			for kind := range have {
				for _, field := range []*string{e.Data.Sender, e.Data.Title} {
					if field != nil && strings.Contains(*field, fmt.Sprint(kind+first)) {
						have[kind]++
						break
					}
				}
			}
		}
		if have != sent {
			rt.Fatalf("%v in the journal, %v were sent", have, sent)
		}
	})
}

// The pairs of a crowd are as many as there can be.
func TestCrowdHasMostPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (all []contender) {
			for i := range rapid.IntRange(0, 7).Draw(t, label) {
				sender, message := rapid.SampledFrom([]string{"", "a"}).Draw(t, "sender"), rapid.SampledFrom([]string{"", "b", "c"}).Draw(t, "message")
				core := fingerprint.Of(&pipeline.Data{Sender: &sender, Title: &sender, Message: &message}).Core
				all = append(all, contender{trait{core, uint64(rapid.IntRange(0, 1).Draw(t, "content")), int64(rapid.IntRange(50, 75).Draw(t, "second"))}, int32(i), alone})
			}
			slices.SortStableFunc(all, compareContenders)
			return all
		}
		cr := crowd{theirs: draw("theirs"), ours: draw("ours")}
		if rapid.Bool().Draw(t, "as if it were large") {
			cr.pairExact()
			cr.pairInOrder()
		}
		cr.match()
		got := 0
		for i, their := range cr.theirs {
			if their.partner == alone {
				continue
			}
			got++
			if _, ok := apart(&their.trait, &cr.ours[their.partner].trait); !ok || cr.ours[their.partner].partner != int32(i) {
				t.Fatalf("%+v is no pair with %+v", their, cr.ours[their.partner])
			}
		}
		if want := most(cr.theirs, cr.ours, 0); got != want {
			t.Fatalf("%d pairs, want %d", got, want)
		}
	})
}

// most tries all ways to make pairs.
func most(theirs, ours []contender, taken uint) int {
	if len(theirs) == 0 {
		return 0
	}
	best := most(theirs[1:], ours, taken)
	for i := range ours {
		if _, ok := apart(&theirs[0].trait, &ours[i].trait); ok && taken&(1<<i) == 0 {
			best = max(best, 1+most(theirs[1:], ours, taken|1<<i))
		}
	}
	return best
}
