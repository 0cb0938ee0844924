package overlay_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
)

// must fails the test on an error of a control.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPauseAndResume(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(2, 0)
		wait(time.Second)
		must(t, st.Pause(t.Context()))
		wait(time.Minute)
		w.wantTitles("t000001") // it stayed, and the next did not come
		st = w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000001")
		if !st.State().Paused {
			t.Error("the pause did not survive a restart")
		}
		must(t, st.Resume(t.Context()))
		wait(time.Minute)
		w.wantEachOnce()
	})
}

func TestSkip(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(3, 0)
		wait(time.Second)
		must(t, st.Pause(t.Context()))
		must(t, st.Skip(t.Context())) // the one on screen
		wait(0)
		if s := st.State(); s.Showing != nil || s.Waiting != 2 {
			t.Errorf("after the skip: %+v", s)
		}
		if !slices.Contains(v.events(), "hide") {
			t.Error("the page was not told to hide the alert")
		}
		must(t, st.Skip(t.Context())) // the next one
		must(t, st.Resume(t.Context()))
		wait(time.Minute)
		w.wantTitles("t000001", "t000003")
	})
}

func TestClear(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(1200, 0) // some are only in the journal
		wait(time.Second)
		must(t, st.Clear(t.Context()))
		w.put(1, 0)
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t001201")
		st = w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t001201")
	})
}

func TestShowAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(2, 0)
		wait(time.Hour)
		must(t, st.ShowAgain(t.Context(), w.puts[0], ""))
		wait(time.Minute)
		must(t, st.Pause(t.Context()))
		must(t, st.ShowAgain(t.Context(), 0, w.showings()[1].Alert.ID))
		st = w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		must(t, st.Resume(t.Context()))
		wait(time.Minute)
		w.wantTitles("t000001", "t000002", "t000001", "t000002")
		for n, s := range w.showings() {
			if s.Alert.Repeat != (n > 1) {
				t.Errorf("alert %d: repeat is %v", n, s.Alert.Repeat)
			}
		}
		if err := st.ShowAgain(t.Context(), 9999, ""); !errors.Is(err, overlay.ErrNoTreat) {
			t.Errorf("an unknown number: %v", err)
		}
		st = w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		if got := len(w.showings()); got != 4 {
			t.Errorf("%d alerts after one more restart, want 4", got)
		}
	})
}

// A test goes to a preview if no page is open; treats do not.
func TestTestAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		preview := w.open(st, overlay.PageRequest{ID: "preview", Preview: true}, nil)
		wait(time.Second)
		w.put(1, 0)
		must(t, st.Test(overlay.Text{Sender: "Ada", Title: "Two Pizzas", Message: "hi"}))
		wait(time.Minute)
		w.wantTitles("Two Pizzas")
		if a := w.showings()[0].Alert; a.Emoji != "🍕" || a.Origin != pipeline.OriginTest || a.Number != 0 || !a.Repeat {
			t.Errorf("the test alert is %+v", a)
		}
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("Two Pizzas", "t000001")
		preview.close()
		must(t, st.Test(overlay.Text{Title: "Tea"}))
		wait(time.Minute)
		w.wantTitles("Two Pizzas", "t000001", "Tea")
	})
}

func TestAskedAlertsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		wait(time.Second)
		w.put(1, 0)
		for range 100 {
			must(t, st.Test(overlay.Text{Title: "Tea"}))
		}
		if err := st.Test(overlay.Text{}); !errors.Is(err, overlay.ErrTooManyAsked) {
			t.Errorf("a test too many: %v", err)
		}
		if err := st.ShowAgain(t.Context(), w.puts[0], ""); !errors.Is(err, overlay.ErrTooManyAsked) {
			t.Errorf("a repeat too many: %v", err)
		}
		must(t, st.Clear(t.Context()))
		must(t, st.ShowAgain(t.Context(), w.puts[0], ""))
	})
}

func TestMuteAndLayout(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		must(t, st.Mute(t.Context()))
		layout := overlay.Layout{X: 1, Y: 2, Width: 30, Height: 40, Align: overlay.AlignLeft}
		must(t, st.SetLayout(t.Context(), &layout))
		wait(time.Second)
		type message struct {
			Muted  bool           `json:"muted"`
			Layout overlay.Layout `json:"layout"`
		}
		var got message
		v.last("settings", &got)
		if want := (message{true, layout}); got != want {
			t.Errorf("the page has %+v, want %+v", got, want)
		}
		if err := st.SetLayout(t.Context(), &overlay.Layout{X: 90, Width: 20, Height: 10, Align: "left"}); !errors.As(err, new(*overlay.SettingError)) {
			t.Errorf("a box outside of the page: %v", err)
		}
		st = w.run()
		if s := st.State(); !s.Muted || s.Layout != layout {
			t.Errorf("after a restart: %+v", s)
		}
		must(t, st.Unmute(t.Context()))
		must(t, st.SetLayout(t.Context(), nil))
		if s := st.State(); s.Muted || s.Layout != overlay.NewSettings().Position {
			t.Errorf("after unmute: %+v", s)
		}
	})
}

// The later one of two changes of the position wins, that of the settings or that of the dashboard, also over a restart.
func TestLayoutAndSettings(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		moved := overlay.Layout{X: 1, Y: 2, Width: 30, Height: 40, Align: overlay.AlignLeft}
		at := func(x int) func(*overlay.Settings) { return func(s *overlay.Settings) { s.Position.X = x } }
		want := func(l overlay.Layout) {
			t.Helper()
			st, err := w.stages.Stage(name)
			must(t, err)
			if got := st.State().Layout; got != l {
				t.Errorf("the box is at %+v, want %+v", got, l)
			}
		}
		st := w.run(at(10))
		must(t, st.SetLayout(t.Context(), &moved))
		must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t, at(10), quiet)}))
		want(moved)
		w.run(at(10))
		want(moved)
		must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t, at(11))}))
		want(settings(t, at(11)).Position)
		st = w.run(at(11))
		want(settings(t, at(11)).Position)
		must(t, st.SetLayout(t.Context(), &moved))
		w.run(at(12))
		want(settings(t, at(12)).Position)
	})
}

func TestStopAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(2, 0)
		wait(time.Second)
		must(t, w.stages.Stop(t.Context()))
		wait(0)
		if !slices.Contains(v.events(), "hide") {
			t.Error("the alert was not hidden")
		}
		must(t, st.Test(overlay.Text{Title: "Tea"}))
		wait(time.Minute)
		w.wantTitles("t000001")
		st = w.run()
		w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Minute)
		w.wantTitles("t000001")
		if all := w.stages.States(); len(all) != 1 || !all[0].Stopped {
			t.Errorf("states: %+v", all)
		}
		must(t, w.stages.Start(t.Context()))
		wait(time.Minute)
		w.wantTitles("t000001", "t000002")
	})
}

func TestKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		key, k, err := st.NewKey(t.Context(), "")
		must(t, err)
		other, _, err := st.NewKey(t.Context(), "a")
		must(t, err)
		check := func(key, wantAccount string, want bool) {
			t.Helper()
			overlayName, account, ok := w.stages.Check(key)
			if ok != want || ok && (overlayName != name || account != wantAccount) {
				t.Errorf("check: %q %q %v", overlayName, account, ok)
			}
		}
		for range 2 {
			check(key.Reveal(), "", true)
			check(other.Reveal(), "a", true)
			check("rok_x", "", false)
			check(key.Reveal()+"x", "", false)
			check("", "", false)
			st = w.run()
		}
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		must(t, st.RevokeKey(t.Context(), k.ID))
		<-v.done // a page with a revoked key does not stay
		check(key.Reveal(), "", false)
		check(other.Reveal(), "a", true)
		if err := st.RevokeKey(t.Context(), k.ID); !errors.Is(err, overlay.ErrNoKey) {
			t.Errorf("a key that is gone: %v", err)
		}
		if _, err := st.Open(overlay.PageRequest{ID: "p", Account: "a"}); !errors.Is(err, overlay.ErrOtherAccounts) {
			t.Errorf("a key of one account opened all: %v", err)
		}
		st = w.run(func(s *overlay.Settings) { s.Accounts = []string{"a"} })
		w.open(st, overlay.PageRequest{ID: "p", Account: "a"}, nil)
	})
}

func TestCountsAndRecent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) { // it is midnight on a first of January
		w.put(2, 40*24*time.Hour) // another month
		w.put(3, 0)
		wait(time.Second)
		w.put(2, time.Hour) // yesterday
		st := w.run(func(s *overlay.Settings) { s.Widgets, s.Goal.Count = []overlay.Widget{overlay.WidgetTicker}, 5 })
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		want := func(today, stream, month int) {
			t.Helper()
			var got overlay.Totals
			v.last("totals", &got)
			if got.Today != today || got.Stream != stream || got.Month != month || got.Goal.Count != 5 {
				t.Errorf("totals %+v, want %d %d %d", got, today, stream, month)
			}
		}
		want(3, 0, 3)
		w.put(20, 0)
		e := stacktest.Event("a", pipeline.OriginTest, time.Now(), 99)
		w.putEvent(&e)
		wait(time.Second)
		want(23, 20, 23)
		must(t, st.ResetCounter(t.Context()))
		w.put(1, 0)
		wait(time.Second)
		want(24, 1, 24)
		var recent []overlay.Alert
		v.last("recent", &recent)
		if len(recent) != 20 || recent[19].Title != "t000028" || recent[0].Title != "t000009" {
			t.Errorf("%d recent treats: %+v", len(recent), recent)
		}
		wait(24 * time.Hour)
		want(0, 1, 24)
	})
}

// While a page shows alerts, a treat is in the ticker only from its alert on.
func TestRecentFollowsTheAlerts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.Widgets = []overlay.Widget{overlay.WidgetAlerts, overlay.WidgetTicker} })
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(3, 0)
		wait(2 * time.Second)
		var recent []overlay.Alert
		if v.last("recent", &recent); len(recent) != 1 || recent[0].Title != "t000001" {
			t.Errorf("recent treats: %+v", recent)
		}
		wait(time.Minute)
		if v.last("recent", &recent); len(recent) != 3 {
			t.Errorf("recent treats: %+v", recent)
		}
	})
}

// A reload adds, changes and removes overlays, and a page of one that is gone is closed.
func TestReplace(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{
			name: settings(t, func(s *overlay.Settings) { s.Theme = overlay.ThemeNight }), "more": settings(t),
		}))
		wait(time.Second)
		var got struct{ Theme string }
		if v.last("settings", &got); got.Theme != overlay.ThemeNight {
			t.Errorf("theme %q", got.Theme)
		}
		more, err := w.stages.Stage("more")
		must(t, err)
		w.put(1, 0)
		w.open(more, overlay.PageRequest{ID: "q"}, nil)
		wait(time.Minute)
		if got := len(w.showings()); got != 2 {
			t.Errorf("%d alerts, want one on each overlay", got)
		}
		must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{"more": settings(t)}))
		<-v.done
		if _, err := w.stages.Stage(name); !errors.Is(err, overlay.ErrNoOverlay) {
			t.Errorf("the overlay that was removed: %v", err)
		}
	})
}

func TestTooManyPages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		pages := map[string]*overlay.Page{}
		for n := range 65 {
			id := string(rune('A' + n))
			p, err := st.Open(overlay.PageRequest{ID: id})
			if pages[id] = p; (err != nil) != (n == 64) || err != nil && !errors.Is(err, overlay.ErrTooManyPages) {
				t.Fatalf("page %d: %v", n, err)
			}
		}
		p, err := st.Open(overlay.PageRequest{ID: "A"}) // it connects again
		must(t, err)
		for range pages["A"].Messages() {
			continue // until it is closed
		}
		p.Close()
		// A page that reads nothing is closed.
		for range 100 {
			must(t, st.Mute(t.Context()))
		}
		if got := len(st.State().Pages); got != 0 {
			t.Errorf("%d pages that read nothing are open", got)
		}
	})
}
