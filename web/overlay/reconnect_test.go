package overlay_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// opened returns a page that plays nothing, and the events that it is told when it opens.
func (w *world) opened(st *overlay.Stage, r overlay.PageRequest) (*viewer, []string) {
	w.t.Helper()
	v := w.open(st, r, func(*viewer, showing) {})
	wait(0)
	return v, v.events()
}

// A page that lost its connection during an alert keeps it while its turn goes on, and nothing takes its place before its time is over.
func TestReconnectDuringAnAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MinTime, s.MaxTime = 30*time.Second, 30*time.Second })
		first := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		preview := w.open(st, overlay.PageRequest{ID: "preview", Preview: true}, func(*viewer, showing) {})
		wait(time.Second)
		w.put(2, 0)
		wait(time.Second)
		turn := w.showings()[0].Turn
		_, _, err := st.NewKey(t.Context(), "")
		must(t, err)
		_, other, err := st.NewKey(t.Context(), "")
		must(t, err)
		must(t, st.RevokeKey(t.Context(), other.ID))
		preview.close()
		wait(time.Second)
		if s := st.State(); s.Showing == nil || s.Waiting != 1 {
			t.Fatalf("the turn did not wait for the page: %+v", s)
		}
		_, events := w.opened(st, overlay.PageRequest{ID: "p", Turn: turn})
		if slices.Contains(events, "hide") {
			t.Error("the alert is hidden, although its turn goes on")
		}
		if _, events = w.opened(st, overlay.PageRequest{ID: "preview", Preview: true, Turn: turn}); slices.Contains(events, "hide") {
			t.Error("the preview hides the alert, although its turn goes on")
		}
		wait(20 * time.Second)
		if s := st.State(); s.Showing == nil || s.Showing.Title != "t000001" {
			t.Errorf("before its time is over: %+v", s.Showing)
		}
		<-first.done // it reports that the alert has ended
		wait(0)
		if s := st.State(); s.Showing != nil {
			t.Errorf("after its time: %+v", s.Showing)
		}
	})
}

// What ends while a page is away is not on its screen when it comes back.
func TestAlertThatEndedWhileThePageWasAway(t *testing.T) {
	for what, end := range map[string]func(*testing.T, *world, *overlay.Stage){
		"stop":    func(t *testing.T, w *world, _ *overlay.Stage) { must(t, w.stages.Stop(t.Context())) },
		"skip":    func(t *testing.T, _ *world, st *overlay.Stage) { must(t, st.Skip(t.Context())) },
		"restart": func(_ *testing.T, w *world, _ *overlay.Stage) { w.run() },
		"accounts": func(t *testing.T, w *world, _ *overlay.Stage) {
			must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t, func(s *overlay.Settings) { s.Accounts = []string{"b"} })}))
		},
		"time": func(*testing.T, *world, *overlay.Stage) { wait(10 * time.Second) },
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				st := w.run()
				v := w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) { v.start(s) })
				wait(time.Second)
				w.put(1, 0)
				wait(time.Second)
				v.close()
				end(t, w, st)
				wait(time.Second)
				st, err := w.stages.Stage(name)
				must(t, err)
				_, events := w.opened(st, overlay.PageRequest{ID: "p", Turn: w.showings()[0].Turn})
				if !slices.Contains(events, "hide") {
					t.Errorf("the page was told %q, not to hide the alert", events)
				}
				if s := st.State(); s.Showing != nil {
					t.Errorf("on screen: %+v", s.Showing)
				}
			})
		})
	}
}

// A page that does not come back, or comes back without the alert, holds up the next one for seconds only.
func TestPageThatDoesNotComeBack(t *testing.T) {
	for what, back := range map[string][]overlay.PageRequest{"gone": {{ID: "q"}}, "without the alert": {{ID: "p"}}} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, w *world) {
				st := w.run(func(s *overlay.Settings) { s.MinTime, s.MaxTime = time.Hour, time.Hour })
				v := w.open(st, overlay.PageRequest{ID: "p"}, func(v *viewer, s showing) { v.start(s) })
				wait(time.Second)
				w.put(2, 0)
				wait(time.Second)
				v.close()
				for _, r := range back {
					w.open(st, r, func(v *viewer, s showing) { v.start(s) })
				}
				wait(6 * time.Second)
				w.wantTitles("t000001", "t000002")
			})
		})
	}
}

// A page that hangs during an alert without speech does not hold up the others for long.
func TestPageThatHangsInSilence(t *testing.T) {
	for _, speech := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			st := w.run()
			w.open(st, overlay.PageRequest{ID: "p", Speech: speech}, func(v *viewer, s showing) { v.start(s) })
			wait(time.Second)
			w.put(2, 0)
			wait(20 * time.Second)
			if got := len(w.showings()); (got == 2) == speech {
				t.Errorf("with speech %v there were %d alerts", speech, got)
			}
		})
	}
}

// When accounts are left out, so are their alerts, whoever asked for them.
func TestAlertsOfAccountsThatAreLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run()
		v := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(1, 0)
		wait(time.Second)
		must(t, st.ShowAgain(t.Context(), w.puts[0], ""))
		onlyB := func(s *overlay.Settings) { s.Accounts = []string{"b"} }
		must(t, w.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t, onlyB)}))
		<-v.done
		if !slices.Contains(v.events(), "hide") {
			t.Error("the alert of the account is still on screen")
		}
		if err := st.ShowAgain(t.Context(), w.puts[0], ""); !errors.Is(err, overlay.ErrLeftOut) {
			t.Errorf("show again: %v", err)
		}
		for range 2 {
			w.open(st, overlay.PageRequest{ID: "p"}, nil)
			wait(time.Minute)
			w.wantTitles("t000001")
			st = w.run(onlyB)
		}
	})
}

// On a page, an alert outlives a lost connection. After a stop meanwhile, it does not.
func TestAlertOnAPageThatConnectsAgain(t *testing.T) {
	s := newSite(t, lasting)
	tab := s.page("", webtest.Options{Script: watchDraws})
	s.put(1, 0)
	s.drawn(tab, "t000001")
	_, k, err := s.stage.NewKey(t.Context(), "")
	must(t, err)
	must(t, s.stage.RevokeKey(t.Context(), k.ID)) // of another page
	s.until("the page is open again", func() bool { return len(s.stage.State().Pages) == 1 })
	s.put(1, 0)
	s.until("the next treat waits", func() bool { return s.stage.State().Waiting == 1 })
	tab.WaitFor(`document.getElementById('box').innerText.includes('t000001')`)
	if got := draws(tab); len(got) != 1 {
		t.Errorf("the page has drawn %q", got)
	}
	s.shut()
	must(t, s.stages.Stop(t.Context()))
	tab.WaitFor(`document.getElementById('box').innerText.includes('t000001')`) // it cannot know
	s.serve()
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
}

// Without any key no page can come back, so the turn is over.
func TestLastKeyRevokedDuringAnAlert(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := w.run(func(s *overlay.Settings) { s.MinTime, s.MaxTime = 30*time.Second, 30*time.Second })
		_, key, err := st.NewKey(t.Context(), "")
		must(t, err)
		page := w.open(st, overlay.PageRequest{ID: "p"}, nil)
		wait(time.Second)
		w.put(1, 0)
		wait(time.Second)
		if st.State().Showing == nil {
			t.Fatal("nothing is shown")
		}
		must(t, st.RevokeKey(t.Context(), key.ID))
		if s := st.State(); s.Showing != nil || len(s.Pages) != 0 {
			t.Errorf("it still shows %+v on %d pages", s.Showing, len(s.Pages))
		}
		<-page.done
		wait(time.Minute)
	})
}
