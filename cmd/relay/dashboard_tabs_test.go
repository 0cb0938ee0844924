package main

import (
	"fmt"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// Several dashboards in one browser, which has six connections to a host, leave some for the controls: one of them has the stream of treats, and one shows
// the preview. All show the treats, also after that one is closed.
func TestDashboardInManyTabs(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.configure(func(s *settings) {
		s.Overlays = map[string]overlaySettings{"main": quickOverlay(), "second": quickOverlay()}
	})
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	first := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900})
	tabs := []dashboard{first}
	for range 6 {
		tabs = append(tabs, dashboard{browser.Open(first.Text("location.origin + '/'"), webtest.Options{Width: 1280, Height: 900})})
	}
	for _, d := range tabs {
		d.show("overlays", "Preview")
	}
	previews := func(want int) {
		t.Helper()
		eventually(t, func() error {
			n := 0
			for _, o := range w.overlays() {
				n += len(o.Pages)
			}
			if n != want {
				return fmt.Errorf("%d previews are open, want %d", n, want)
			}
			return nil
		})
	}
	previews(1)
	last := tabs[len(tabs)-1]
	last.WaitFor("document.querySelector('iframe')")
	last.click("Show the preview of second")
	last.WaitFor("document.querySelector('iframe')?.title === 'Preview of second' && document.querySelectorAll('iframe').length === 1")
	for i, d := range tabs[:4] {
		d.click("Stop all alerts")
		d.WaitFor(hasText("All alerts are stopped."))
		for _, o := range w.overlays() {
			if !o.Stopped {
				t.Errorf("tab %d: the overlay %s is not stopped", i, o.Name)
			}
		}
		d.click("Show alerts again")
		d.WaitFor("!(" + hasText("All alerts are stopped.") + ")")
	}
	tabs[1].click("Show the preview of main here")
	tabs[1].WaitFor("document.querySelector('iframe')")
	last.WaitFor("!document.querySelector('iframe')")
	previews(1)
	for _, d := range tabs {
		d.show("now", "Treats per minute")
	}
	previews(0)
	w.live.emit(0, 2)
	for _, d := range tabs {
		d.WaitFor(hasText(title(1)))
	}
	first.Close()
	w.live.emit(2, 4)
	for _, d := range tabs[1:] {
		d.WaitFor(hasText(title(3)) + " && document.querySelectorAll('.treat').length === 4")
		d.quiet(t)
	}
	p.stop()
}
