package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/web/webtest"
)

// dashboard is an open dashboard.
type dashboard struct{ *webtest.Tab }

// dashboardLink returns a link that logs in to the dashboard of the relay that runs.
func (w *world) dashboardLink(role api.Role) string {
	w.t.Helper()
	link, err := w.client().NewLink(w.t.Context(), api.LinkRequest{Role: role.String()})
	if err != nil {
		w.t.Fatal(err)
	}
	return link.URL
}

// openDashboard opens the dashboard of the relay that runs, with a link of this role.
func (w *world) openDashboard(b *webtest.Browser, role api.Role, o webtest.Options) dashboard {
	w.t.Helper()
	d := dashboard{b.Open(w.dashboardLink(role), o)}
	d.WaitFor("!location.href.includes('link=')")
	d.show("now", "Treats per minute")
	return d
}

// startEvening starts a relay with an overlay, and waits until it has received that many treats, of which the bot has refused some for good.
func startEvening(t *testing.T, treats int, refused ...int) (*webtest.Browser, *world, *process) {
	t.Helper()
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.configure(func(s *settings) { s.Overlays = map[string]overlaySettings{"main": quickOverlay()} })
	w.login()
	titles := make([]string, len(refused))
	for i, n := range refused {
		titles[i] = title(n)
	}
	w.bot.refuses(titles...)
	p := w.start()
	w.connected()
	w.live.emit(0, treats)
	eventually(t, func() error {
		if s := w.status("bot"); s.DeadLetters != uint64(len(refused)) {
			return fmt.Errorf("%d dead letters, want %d", s.DeadLetters, len(refused))
		}
		return nil
	})
	return browser, w, p
}

// quoteJS returns a text as a literal of JavaScript.
func quoteJS(text string) string {
	quoted, _ := json.Marshal(text) //nolint:errchkjson // a string
	return string(quoted)
}

// hasText is an expression that is true while the page shows a text.
func hasText(text string) string {
	return "document.body && document.body.innerText.includes(" + quoteJS(text) + ")"
}

// dashboardViews are the headings of the views, by their addresses.
func dashboardViews() map[string]string {
	return map[string]string{
		"now": "Now", "overlays": "Overlays", "history": "History", "deadletters": "Dead letters", "attempts": "Attempts", "digests": "Digests", "digest": "Digest", "test": "Test treat", "config": "Configuration", "event": "Event",
	}
}

// show goes to a view, and waits until it has loaded and shows a text.
func (d dashboard) show(view, text string) {
	heading := dashboardViews()[strings.FieldsFunc(view, func(r rune) bool { return r == '?' || r == '/' })[0]]
	d.WaitFor("(location.hash = " + quoteJS("#/"+view) + ", true)")
	d.WaitFor("document.querySelector('main h1')?.innerText === " + quoteJS(heading) + " && !document.querySelector('main .loading, main [aria-busy=\"true\"]') && " + hasText(text))
}

// click clicks the button or link with this label, when it is there and not disabled.
func (d dashboard) click(label string) {
	d.WaitFor(`(() => {
		const text = (e) => e.getAttribute('aria-label') ?? e.innerText.trim().replace(/\s+/g, ' ');
		const found = [...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button:not([disabled]), a')].find((e) => text(e) === ` + quoteJS(label) + `);
		found?.click();
		return found;
	})()`)
}

// status makes a request in the page, and returns the status of the answer.
func (d dashboard) status(method, path, body string) (status int) {
	options := "{method: " + quoteJS(method) + "}"
	if body != "" {
		options = "{method: " + quoteJS(method) + ", body: " + quoteJS(body) + ", headers: {'Content-Type': 'application/json'}}"
	}
	var none any
	d.Eval("(window.answered = 0, fetch("+quoteJS(path)+", "+options+").then((r) => { window.answered = r.status; }), null)", &none)
	d.WaitFor("window.answered")
	d.Eval("window.answered", &status)
	return status
}

// quiet checks that the page has written nothing to its console.
func (d dashboard) quiet(t *testing.T) {
	t.Helper()
	if out := d.Console(); len(out) > 0 {
		t.Errorf("the console has\n%s", strings.Join(out, "\n"))
	}
}

// TestDashboard opens the dashboard of a real relay in a real browser, and looks at every view.
func TestDashboard(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "console", "--sink", "bot")
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)

	link := w.dashboardLink(api.Owner)
	d := dashboard{browser.Open(link, webtest.Options{Width: 1440, Height: 1000})}
	d.WaitFor(hasText("Everything works."))
	d.WaitFor(hasText("mystream"))
	w.live.emit(5, 8)
	d.WaitFor(hasText(title(7)))
	d.WaitFor("!location.href.includes('link=')")
	texts := map[string]string{
		"now": title(7), "overlays": "main", "history": title(7), "deadletters": "No dead letters", "attempts": "Accepted", "digests": "No digests", "test": "Nothing sent yet", "config": "No faults.",
	}
	for _, view := range slices.Sorted(maps.Keys(texts)) {
		d.show(view, texts[view])
		d.Screenshot("dashboard-" + view)
	}
	d.show("attempts?digests=true", "None matches.")
	d.show("digests?sink=bot", "None matches.")

	d.show("config", "No faults.")
	path := w.config
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("mistake: 1\n"), text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.click("Refresh")
	d.WaitFor(hasText(path + ":1:1 mistake"))
	d.WaitFor(hasText("relay runs with the configuration that it loaded before"))
	d.Screenshot("dashboard-config-faults")
	d.quiet(t)
	d.Close()

	other := webtest.Start(t).Open(link, webtest.Options{}) // the link was used
	other.WaitFor(hasText("relay dashboard"))
	other.Screenshot("dashboard-signin")
	p.stop()
}

// The dashboard is as in the picture of README.md and docs/dashboard.md, which this test makes: make screenshots.
func TestDashboardScreenshot(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.configure(func(s *settings) {
		s.Overlays = map[string]overlaySettings{"main": quickOverlay()}
		s.Sinks["discord"] = webhookTo(w.bot.server.URL)
	})
	w.login()
	p := w.start()
	w.connected()
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 820, Script: "localStorage.setItem('relay.start', 'done'); localStorage.setItem('relay.theme', 'light');"})
	treats := []simulator.Treat{
		{Sender: "tofu_the_cat", Title: "Miso Ramen", Message: new("For the soup speedrun!")},
		{Sender: "Mara", Title: "Two Tacos"},
		{Title: "Bubble Tea", Message: new("Drink something, you have been live for hours")},
		{Sender: "Łukasz", Title: "Fried Chicken", Message: new("Last fight, you can do it!")},
		{Sender: "dana_99", Title: "Cheesecake", Message: new("Happy birthday 🎂")},
		{Sender: "PixelPanda", Title: "Large Pepperoni Pizza", Message: new("Great run tonight! Dinner is on me 🎉")},
	}
	rounds, pause := 1, time.Duration(0)
	if os.Getenv("RELAY_SCREENSHOTS") != "" {
		rounds, pause = 12, 900*time.Millisecond // so that there is something to plot
	}
	for range rounds {
		for _, treat := range treats {
			treat.SenderType = "twitch"
			if _, err := w.sim.Emit(treat); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
		}
	}
	d.WaitFor(hasText("PixelPanda"))
	d.WaitFor(hasText("Everything works."))
	eventually(t, func() error {
		for _, s := range w.snapshot().Sinks {
			if s.Pending == nil || *s.Pending > 0 || s.InFlight > 0 || s.Delivered == 0 {
				return fmt.Errorf("%s still works", s.Sink)
			}
		}
		return nil
	})
	d.Screenshot("dashboard")
	d.quiet(t)
	p.stop()
}
