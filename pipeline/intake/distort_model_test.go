package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
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
			if _, err := rec.compareOnce(t.Context()); err != nil {
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
