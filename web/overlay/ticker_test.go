package overlay_test

import (
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
)

// inTicker fails unless the ticker of a page has the treats with these titles.
func (v *viewer) inTicker(want ...string) {
	v.w.t.Helper()
	var recent []overlay.Alert
	v.last("recent", &recent)
	got := make([]string, len(recent))
	for i, a := range recent {
		got[i] = a.Title
	}
	if !slices.Equal(got, want) {
		v.w.t.Fatalf("in the ticker: %q, want %q", got, want)
	}
}

// counted fails unless the counter of a page has counted n treats.
func (v *viewer) counted(n int) {
	v.w.t.Helper()
	var totals overlay.Totals
	if v.last("totals", &totals); totals.Today != n || totals.Stream != n {
		v.w.t.Fatalf("totals: %+v, want %d", totals, n)
	}
}

func withTicker(s *overlay.Settings) {
	s.Widgets = []overlay.Widget{overlay.WidgetAlerts, overlay.WidgetTicker, overlay.WidgetCounter}
}

func tickerAlone(s *overlay.Settings) {
	s.Widgets = []overlay.Widget{overlay.WidgetTicker, overlay.WidgetCounter}
}

// While an overlay is paused or stopped, its widgets show nothing new, also after a restart.
func TestWidgetsAreHeld(t *testing.T) {
	for name, set := range map[string]func(*overlay.Settings){"with alerts": withTicker, "without alerts": tickerAlone} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				st := w.run(set)
				v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
				wait(time.Second)
				w.put(1, 0)
				wait(time.Minute)
				v.inTicker("t000001")
				must(t, st.Pause(t.Context()))
				w.put(1, 0)
				wait(20 * time.Minute) // too old to be shown as an alert
				v.inTicker("t000001")
				v.counted(1)
				st = w.run(set)
				v = w.open(st, overlay.PageRequest{ID: "p"}, nil)
				w.put(1, 0)
				wait(time.Minute)
				v.inTicker("t000001")
				v.counted(1)
				must(t, w.stages.Stop(t.Context()))
				wait(0)
				v.inTicker()
				v.counted(1)
				must(t, st.Resume(t.Context()))
				w.put(1, 0)
				wait(time.Minute)
				v.inTicker()
				v.counted(1)
				other := w.open(st, overlay.PageRequest{ID: "other", Widgets: []overlay.Widget{overlay.WidgetTicker}}, nil)
				wait(time.Second)
				other.inTicker()
				must(t, w.stages.Start(t.Context()))
				wait(time.Minute)
				v.inTicker("t000001", "t000002", "t000003", "t000004")
				v.counted(4)
			})
		})
	}
}

// What somebody skips or clears leaves the ticker and does not come back. What is too old for an alert is in it all the same.
func TestTickerWithoutWhatWasSkippedOrCleared(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(withTicker)
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(3, 0)
		wait(time.Second)
		v.inTicker("t000001")
		must(t, st.Pause(t.Context()))
		must(t, st.Skip(t.Context())) // the one on screen
		wait(0)
		v.inTicker()
		must(t, st.Skip(t.Context())) // the next one
		must(t, st.Resume(t.Context()))
		w.put(1, time.Hour)
		wait(time.Minute)
		v.inTicker("t000003", "t000004")
		st = w.run(withTicker)
		v = w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		v.inTicker("t000003", "t000004")

		must(t, st.Pause(t.Context()))
		w.put(2, 0)
		wait(time.Second)
		must(t, st.Clear(t.Context()))
		wait(0)
		v.inTicker()
		must(t, st.Resume(t.Context()))
		w.put(1, 0)
		wait(time.Minute)
		v.inTicker("t000007")
		st = w.run(withTicker)
		v = w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		v.inTicker("t000007")
	})
}

// An alert that was shown again at an operator's request, and is skipped, is one that nobody wants in the ticker.
func TestSkipOfARepeat(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(withTicker)
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(2, 0)
		wait(time.Minute)
		must(t, st.ShowAgain(t.Context(), w.puts[0], ""))
		wait(time.Second)
		must(t, st.Skip(t.Context()))
		wait(0)
		v.inTicker("t000002")
		must(t, st.Test(overlay.Text{Title: "Tea"}))
		wait(time.Second)
		must(t, st.Skip(t.Context()))
		wait(time.Minute)
		v.inTicker("t000002")
	})
}

// However many alerts are skipped, none of them is in the ticker.
func TestManySkips(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(withTicker)
		w.put(1, 0)
		wait(time.Second)
		must(t, st.Pause(t.Context()))
		w.put(250, 0)
		wait(time.Second)
		for range 250 {
			must(t, st.Skip(t.Context()))
		}
		must(t, st.Resume(t.Context()))
		st = w.run(withTicker)
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		v.inTicker("t000251")
	})
}

// The journal of a restored backup has other treats under the numbers that were removed.
func TestRemovalsEndWithTheJournal(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		must(t, w.config.Store.Put(t.Context(), "overlay.main", []byte(`{"position":5000,"cleared":400,"removed":[{"first":410,"last":420}]}`)))
		w.put(1, 0)
		st := w.run(withTicker)
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(1, 0)
		wait(time.Minute)
		v.inTicker("t000002")
	})
}
