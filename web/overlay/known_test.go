package overlay_test

import (
	"context"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
)

// Of a merged alert, a page refuses what it has shown. The rest is shown.
func TestPageThatKnowsAPartOfTheAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MergeAfter = 2 })
		wait(time.Second)
		w.put(7, 0)
		wait(time.Second)
		w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) {
			if s.Alert.More != 4 {
				v.show(s)
				return
			}
			r := overlay.Report{Page: v.id, Turn: s.Turn, Number: s.Alert.Number, ID: s.Alert.ID, State: overlay.StateFinished}
			for _, n := range []int{0, 2} {
				e, err := w.config.Feed.Find(context.Background(), w.puts[n], "")
				if err != nil {
					t.Error(err)
				}
				r.Known = append(r.Known, e.ID)
			}
			if err := v.st.Report(context.Background(), r); err != nil {
				t.Error(err)
			}
		})
		wait(time.Minute)
		w.wantTitles("t000002+2", "t000006", "t000007")
		if s := st.State(); s.Waiting != 0 || s.Position != w.puts[6] {
			t.Errorf("state: %+v", s)
		}
	})
}
