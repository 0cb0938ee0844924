package overlay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
)

func TestOneAtATimeInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.put(3, 0) // before the overlay exists
		w.puts = nil
		st := w.run()
		wait(time.Second)
		w.put(2, 0)
		wait(time.Minute)
		w.wantTitles() // no page is open
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.wantTitles("t000004")
		if s := st.State(); s.Showing == nil || s.Showing.Title != "t000004" || s.Waiting != 1 || len(s.Pages) != 1 {
			t.Errorf("state: %+v", s)
		}
		wait(time.Minute)
		w.put(1, 0)
		wait(time.Minute)
		w.wantTitles("t000004", "t000005", "t000006")
		all := w.showings()
		if gap := all[1].At.Sub(all[0].At); gap < all[0].Time {
			t.Errorf("the second alert came after %v", gap)
		}
	})
}

func TestTimeOnScreen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MinTime, s.MaxTime, s.MergeAfter = 2*time.Second, 12*time.Second, 0 })
		wait(time.Second)
		w.put(8, 0)
		wait(time.Second)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(10 * time.Minute)
		var got []time.Duration
		for _, s := range w.showings() {
			got = append(got, s.Time/time.Second)
		}
		if want := []time.Duration{2, 2, 2, 4, 6, 8, 10, 12}; !slices.Equal(got, want) {
			t.Errorf("seconds on screen: %d, want %d", got, want)
		}
	})
}

func TestMerge(t *testing.T) {
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MergeAfter = 3 })
		wait(time.Second)
		w.put(10, 0)
		wait(time.Second)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000001+6", "t000008", "t000009", "t000010")
		w.wantEachOnce()
	})
}

// Reloads under a flood: every treat is in exactly one alert that was started.
func TestFloodWithReloads(t *testing.T) {
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		go func() {
			for range 1500 {
				w.put(1, 0)
				time.Sleep(20 * time.Millisecond)
			}
		}()
		for n := range 40 {
			v := w.open(st, overlay.PageRequest{ID: fmt.Sprint("p", n)}, nil)
			time.Sleep(time.Duration(130*n%2900) * time.Millisecond)
			v.page.Close()
		}
		w.open(st, overlay.PageRequest{ID: "last"}, nil)
		wait(5 * time.Minute)
		w.wantEachOnce()
	})
}

func TestReadAheadIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(1500, 0)
		wait(time.Second)
		if s := st.State(); s.Waiting != 1000 || !s.More {
			t.Errorf("%d treats wait in memory, want 1000 of more: %v", s.Waiting, s.More)
		}
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(5 * time.Minute)
		w.wantEachOnce()
		if st.State().More {
			t.Error("more wait, after all were shown")
		}
	})
}

// Large treats are read ahead in bytes, and each is shown.
func TestReadAheadIsBoundedInBytes(t *testing.T) {
	const treats, most = 400, 300
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MergeAfter, s.MaxAge = 0, 0 })
		wait(time.Second)
		long := strings.Repeat("👩‍👩‍👧‍👦", 700)
		for n := range treats {
			e := stacktest.Event("a", pipeline.OriginLive, time.Now(), n+1)
			e.Data.Message = &long
			w.putEvent(&e)
		}
		wait(time.Second)
		if got := st.State().Waiting; got < 100 || got > most {
			t.Errorf("%d treats wait in memory, want at most %d", got, most)
		}
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(2 * time.Hour)
		w.wantEachOnce()
	})
}

// A page that connects while an alert is on screen does not get it, and a reload ends the turn of the old page.
func TestReloadDuringAnAlert(t *testing.T) {
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(2, 0)
		first := w.open(st, overlay.PageRequest{ID: "before"}, nil)
		wait(time.Second)
		w.wantTitles("t000001")
		first.page.Close()
		w.open(st, overlay.PageRequest{ID: "after"}, nil)
		wait(time.Minute)
		w.wantTitles("t000001", "t000002")
	})
}

func TestTwoPagesShowTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		a := w.open(st, overlay.PageRequest{ID: "a"}, nil)
		w.open(st, overlay.PageRequest{ID: "b"}, func(v *viewer, s showing) { // it takes a second longer
			if v.start(s) {
				time.Sleep(s.Time + time.Second)
				_ = v.report(s, overlay.StateFinished)
			}
		})
		wait(time.Second)
		w.put(3, 0)
		time.Sleep(2 * time.Second)
		late := w.open(st, overlay.PageRequest{ID: "late"}, nil)
		wait(time.Second)
		if slices.Contains(late.events(), "show") {
			t.Error("a page that came late got the alert")
		}
		wait(time.Minute)
		w.wantEachOnce()
		byPage := map[string]int{}
		for _, s := range w.started {
			byPage[s.Page]++
		}
		if byPage["a"] != 3 || byPage["b"] != 3 || byPage["late"] != 2 {
			t.Errorf("alerts by page: %v", byPage)
		}
		if gap := w.showings()[1].At.Sub(w.showings()[0].At); gap < w.showings()[0].Time+time.Second {
			t.Errorf("the next alert did not wait for the slower page: %v", gap)
		}
		a.close()
	})
}

// What no page has started comes again, whether the page is gone or hangs.
func TestCrashBeforeTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		offers := 0
		hung := w.open(st, overlay.PageRequest{ID: "hung"}, func(*viewer, showing) { offers++ })
		wait(time.Second)
		w.put(2, 0)
		wait(time.Minute)
		if offers != 1 {
			t.Errorf("a page that does not answer was asked %d times", offers)
		}
		hung.close()
		crash := w.open(st, overlay.PageRequest{ID: "crash"}, func(v *viewer, _ showing) { v.page.Close() })
		<-crash.done
		wait(time.Second)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantEachOnce()
	})
}

// An answer that comes too late is refused, and the page gets the alert in a new turn.
func TestLateStart(t *testing.T) {
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run()
		slow := true
		w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) {
			if slow {
				slow = false
				time.Sleep(7 * time.Second)
			}
			v.show(s)
		})
		wait(time.Second)
		w.put(1, 0)
		wait(time.Minute)
		w.wantTitles("t000001")
	})
}

// An alert stays for its time and half a minute more for speech, not longer.
func TestPageThatNeverFinishes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.Speech = true })
		v := w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) { v.start(s) })
		wait(time.Second)
		w.put(2, 0)
		wait(36 * time.Second)
		w.wantTitles("t000001")
		wait(3 * time.Second)
		w.wantTitles("t000001", "t000002")
		if !slices.Contains(v.events(), "hide") {
			t.Error("the page was not told to hide the alert")
		}
	})
}

// A page that remembers an alert refuses it. It counts as shown.
func TestPageThatKnowsTheAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) {
			if s.Alert.Title == "t000001" {
				if err := v.report(s, overlay.StateFinished); err != nil {
					t.Error(err)
				}
				return
			}
			v.show(s)
		})
		wait(time.Second)
		w.put(2, 0)
		wait(time.Minute)
		w.wantTitles("t000002")
		if s := st.State(); s.Waiting != 0 || s.Position != w.puts[1] {
			t.Errorf("state: %+v", s)
		}
	})
}
