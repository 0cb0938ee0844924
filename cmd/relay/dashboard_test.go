package main

import (
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// dashboardLink returns a link that logs in to the dashboard of the relay that runs.
func (w *world) dashboardLink(role api.Role) string {
	w.t.Helper()
	c, err := api.Connect(w.t.Context(), w.data())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it never fails
	link, err := c.NewLink(w.t.Context(), api.LinkRequest{Role: role.String()})
	if err != nil {
		w.t.Fatal(err)
	}
	return link.URL
}

// hasText is an expression that is true while the page shows a text.
func hasText(text string) string {
	return "document.body && document.body.innerText.includes(" + quoteJS(text) + ")"
}

func quoteJS(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }

// TestDashboard opens the dashboard of a real relay in a real browser, and looks at every view.
func TestDashboard(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.configure(func(s *settings) { s.HTTP.Listen = "127.0.0.1:0" })
	w.login()
	p := w.start("--sink", "console", "--sink", "bot")
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)

	link := w.dashboardLink(api.Owner)
	page := browser.Open(link, webtest.Options{Width: 1440, Height: 1000})
	page.WaitFor(hasText("Everything works."))
	page.WaitFor(hasText("mystream"))
	w.live.emit(5, 8)
	page.WaitFor(hasText(title(7)))
	page.WaitFor("!location.href.includes('link=')")
	page.Screenshot("dashboard-now")
	for view, text := range map[string]string{
		"overlays": "Overlays", "history": title(7), "deadletters": "Dead letters", "attempts": "Attempts", "test": "Send",
		"config": "relay.yaml",
	} {
		page.WaitFor("(location.hash = '#/" + view + "', true)")
		page.WaitFor(hasText(text))
		page.Screenshot("dashboard-" + view)
	}
	if out := page.Console(); len(out) > 0 {
		t.Errorf("the console has\n%s", strings.Join(out, "\n"))
	}
	page.Close()

	other := webtest.Start(t).Open(link, webtest.Options{}) // the link was used
	other.WaitFor(hasText("relay dashboard"))
	other.Screenshot("dashboard-signin")
	p.stop()
}
