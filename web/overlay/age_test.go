package overlay_test

import (
	"context"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
)

func TestMaxAge(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(2, 11*time.Minute) // backfilled
		w.put(1, 9*time.Minute)
		w.put(1, 0)
		wait(5 * time.Minute)
		if s := st.State(); s.SkippedOld != 3 || s.Waiting != 1 {
			t.Errorf("skipped %d, waiting %d, want 3 and 1", s.SkippedOld, s.Waiting)
		}
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000004")
		w.run(func(s *overlay.Settings) { s.MaxAge = 0 })
	})
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MaxAge = 0 })
		wait(time.Second)
		w.put(1, 24*time.Hour)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000001")
	})
}

// The clock of this computer may be wrong, and treats still come as they are sent.
func TestMaxAgeWithAWrongClock(t *testing.T) {
	inBubble(t, func(_ *testing.T, w *world) {
		st := w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		for n, ahead := range []time.Duration{time.Hour, -time.Hour, 30 * 24 * time.Hour} { // the last one is really old
			e := stacktest.Event("a", pipeline.OriginLive, time.Now().Add(-ahead), n)
			w.putEvent(&e)
		}
		wait(time.Minute)
		w.wantTitles("t000000", "t000001")
	})
}

// The position is saved before a page draws, so a restart at any moment repeats nothing.
func TestRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(6, 0)
		for n := range 6 {
			w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) {
				before, err := w.config.Store.Get(context.Background(), "overlay.main")
				if err != nil {
					t.Error(err)
				}
				if !v.start(s) {
					return
				}
				after, err := w.config.Store.Get(context.Background(), "overlay.main")
				if err != nil || string(before) == string(after) {
					t.Errorf("the position was not saved: %s, %v", after, err)
				}
			})
			wait(time.Duration(n)*time.Second + time.Millisecond)
			st = w.run()
			wait(0)
		}
		w.wantEachOnce()
	})
}

// A journal that lost its end, as a restored backup has, does not keep new treats from being shown.
func TestJournalThatBeginsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.config.Store.Put(t.Context(), "overlay.main", []byte(`{"position":5000}`)); err != nil {
			t.Fatal(err)
		}
		w.put(1, 0)
		w.puts = nil
		st := w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(1, 0)
		wait(time.Minute)
		w.wantTitles("t000002")
	})
}

func TestAccountsAndTests(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		only := func(s *overlay.Settings) { s.Accounts, s.Tests = []string{"b"}, overlay.TestsSkip }
		st := w.run(only)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		for n, e := range []struct {
			account string
			origin  pipeline.Origin
		}{{"a", pipeline.OriginLive}, {"b", pipeline.OriginTest}, {"b", pipeline.OriginLive}, {"b", pipeline.OriginBackfill}, {"a", pipeline.OriginLive}} {
			event := stacktest.Event(e.account, e.origin, time.Now(), n)
			w.putEvent(&event)
		}
		wait(time.Minute)
		w.wantTitles("t000002", "t000003")
		// A reload adds the other account: its treat after the position is shown.
		if err := w.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t)}); err != nil {
			t.Fatal(err)
		}
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000002", "t000003", "t000004")
	})
}
