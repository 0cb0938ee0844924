package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/hostiletest"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/webtest"
)

// A moderator sees what happens and controls the overlays, and can do nothing else, not even past the page.
func TestDashboardOfModerator(t *testing.T) {
	browser, w, p := startEvening(t, 3, 1)
	d := w.openDashboard(browser, api.Moderator, webtest.Options{Width: 1440, Height: 1000})
	d.WaitFor(hasText(title(2)))
	var views []string
	d.Eval("[...document.querySelectorAll('#views a')].map((e) => e.hash)", &views)
	if want := []string{"#/now", "#/overlays", "#/history", "#/deadletters", "#/attempts", "#/digests"}; !slices.Equal(views, want) {
		t.Errorf("a moderator has the views %q, want %q", views, want)
	}
	noButtons := func(labels ...string) {
		t.Helper()
		for _, label := range labels {
			var there bool
			d.Eval("[...document.querySelectorAll('main button')].some((e) => (e.getAttribute('aria-label') ?? e.innerText).startsWith("+quoteJS(label)+"))", &there)
			if there {
				t.Errorf("a moderator has a button %q", label)
			}
		}
	}
	noButtons("bot is enabled", "Log in")
	d.show("deadletters", title(1))
	noButtons("Send", "Delete")
	d.show("history", title(1))
	d.click(d.Text("document.querySelector('main tbody a').innerText"))
	d.WaitFor(hasText("Its way through relay"))
	noButtons("Replay")
	d.show("overlays", "Preview")
	noButtons("New key", "Revoke", "Save the place")
	d.WaitFor("(location.hash = '#/config', document.querySelector('main h1')?.innerText === 'Now')")

	for _, forbidden := range []struct{ method, path, body string }{
		{http.MethodGet, "config", ""},
		{http.MethodPost, "deadletters/redrive", `{"all":true}`},
		{http.MethodPost, "deadletters/purge", `{"all":true}`},
		{http.MethodPost, "sinks/bot/disable", `{}`},
		{http.MethodPost, "replay", `{"sink":"bot"}`},
		{http.MethodPost, "overlays/main/keys", `{}`},
		{http.MethodPost, "accounts/mystream/login", `{}`},
		{http.MethodPost, "sessions/links", `{"role":"owner"}`},
	} {
		if got := d.status(forbidden.method, "/api/v1/"+forbidden.path, forbidden.body); got != http.StatusForbidden {
			t.Errorf("%s %s: status %d, want 403", forbidden.method, forbidden.path, got)
		}
	}
	if got := d.status(http.MethodPost, "/api/v1/overlays/main/pause", ""); got >= 300 {
		t.Errorf("a moderator cannot pause an overlay: status %d", got)
	}
	if o := w.overlays()[0]; !o.Paused {
		t.Error("the overlay is not paused")
	}
	if letters := w.deadLetters(); len(letters) != 1 {
		t.Errorf("%d dead letters, want 1", len(letters))
	}
	p.stop()
}

// A test treat that is sent on the page arrives at each sink and on the overlay, which the dashboard stops and starts, and
// makes show an alert again.
func TestDashboardControlsTheOverlay(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.configure(func(s *settings) { s.Overlays = map[string]overlaySettings{"main": quickOverlay()} })
	w.login()
	p := w.start()
	w.connected()
	overlay := browser.Open(w.relay(exit.OK, "overlay", "new", "main").out.text(), webtest.Options{Script: watchAlerts, Reduced: true})
	w.awaitPages(1)
	shown := func(titles ...string) {
		t.Helper()
		eventually(t, func() error {
			if got := shownOn(overlay); !slices.Equal(got, titles) {
				return fmt.Errorf("the overlay has shown %q, want %q", got, titles)
			}
			return nil
		})
	}
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1440, Height: 1000})
	d.show("test", "Nothing sent yet")
	d.WaitFor("document.querySelector('main select')?.value === 'mystream'")
	d.click("Send the test treat")
	d.WaitFor(`['console', 'overlay', 'bot'].every((name) => [...document.querySelectorAll('.arrivals li')].some((e) => e.innerText.startsWith(name + '\n') && e.innerText.includes('Arrived')))`)
	shown("Pizza Margherita")
	d.WaitFor(`[...document.querySelectorAll('.arrivals li')].some((e) => e.innerText.startsWith('Overlay main') && /On screen|Shown/.test(e.innerText))`)
	d.Screenshot("dashboard-test-sent")
	for sink, lines := range map[string][]string{"stdout": p.out.get(), "webhook": w.bot.get()} {
		if all := events(t, lines); len(all) != 1 || all[0].Origin != pipeline.OriginTest || *all[0].Data.Title != "Pizza Margherita" {
			t.Errorf("%s got %v, want the test treat", sink, all)
		}
	}

	w.live.emit(0, 1)
	shown("Pizza Margherita", title(0))
	d.show("overlays", title(0))
	d.click("Stop all alerts")
	d.WaitFor(hasText("All alerts are stopped."))
	overlay.WaitFor("document.getElementById('box').childElementCount === 0")
	w.live.emit(1, 2)
	eventually(t, func() error {
		if o := w.overlays()[0]; !o.Stopped || o.Waiting != 1 {
			return fmt.Errorf("stopped %v, waiting %d", o.Stopped, o.Waiting)
		}
		return nil
	})
	shown("Pizza Margherita", title(0))
	d.click("Show alerts again")
	d.WaitFor("!(" + hasText("All alerts are stopped.") + ")")
	shown("Pizza Margherita", title(0), title(1))
	d.WaitFor(`((e) => e?.innerText.includes("Last shown") && e.innerText.includes("` + title(1) + `"))(document.querySelector(".on-screen"))`)
	d.click("Show again")
	shown("Pizza Margherita", title(0), title(1), title(1))
	d.Screenshot("dashboard-overlay-controls")
	p.stop()
	w.noSecrets(p)
}

// viewerTexts returns the texts of a treat in the order in which the dashboard shows them. A missing one is an element without text, or none.
func viewerTexts(e *pipeline.Event) (texts []string) {
	for _, text := range []*string{e.Data.Sender, e.Data.Title, e.Data.Message} {
		if text != nil && strings.TrimSpace(*text) != "" {
			texts = append(texts, *text)
		}
	}
	return texts
}

// No text of a viewer becomes an element or runs, in any view.
func TestDashboardNeverShowsHTMLOfViewers(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1440, Height: 1000, Script: `window.pwnedCount = 0; window.pwned = () => { window.pwnedCount++; };`})
	corpus := hostiletest.Texts(t)
	for i := range corpus {
		treat := simulator.Treat{Sender: corpus[i], SenderType: "twitch", Title: corpus[(i+33)%len(corpus)], Message: &corpus[(i+66)%len(corpus)]}
		if _, err := w.sim.Emit(treat); err != nil {
			t.Fatal(err)
		}
	}
	all := w.delivered(len(corpus))
	slices.Reverse(all) // the newest first, as on the page
	texts := func(rows string) (shown [][]string) {
		d.Eval(`[...document.querySelectorAll('`+rows+`')].map((row) => [...row.querySelectorAll('.viewer')].map((e) => e.textContent).filter((s) => s.trim()))`, &shown)
		return shown
	}
	check := func(where string, shown [][]string, want []pipeline.Event) {
		t.Helper()
		if len(shown) == 0 || len(shown) > len(want) {
			t.Fatalf("%s shows %d treats, want up to %d", where, len(shown), len(want))
		}
		for i, got := range shown {
			if want := viewerTexts(&want[i]); !slices.Equal(got, want) {
				t.Errorf("%s shows %q, want %q", where, got, want)
			}
		}
		var strange []string
		d.Eval(`[...document.querySelectorAll('main *')].filter((e) => e.getAttributeNames().some((n) => n.startsWith('on')) ||
			/^(script|img|iframe|object|embed|style|link|meta|base|audio|video|source|template|marquee|xss|math|set|animate)$/i.test(e.tagName)).map((e) => e.outerHTML)`, &strange)
		if len(strange) > 0 {
			t.Errorf("%s has %q", where, strange)
		}
	}
	newest := "document.querySelector('.treat .viewer')?.textContent === " + quoteJS(*all[0].Data.Sender)
	d.WaitFor(newest)
	check("Now", texts(".treat"), all)
	d.show("history", "Show older")
	d.click("Show older")
	d.WaitFor(fmt.Sprintf("document.querySelectorAll('main tbody tr').length === %d", len(all)))
	check("History", texts("main tbody tr"), all)
	for i := 0; i < len(all); i += 9 {
		d.show("event/"+all[i].ID, "Its way through relay")
		check("the event", texts(".event-head"), all[i:i+1])
		var shown pipeline.Event
		if err := json.Unmarshal([]byte(d.Text("document.querySelector('pre.json').textContent")), &shown); err != nil || *shown.Data.Title != *all[i].Data.Title {
			t.Errorf("the JSON on the page is of %v (%v)", shown, err)
		}
	}
	var ran int
	if d.Eval("window.pwnedCount", &ran); ran != 0 {
		t.Errorf("%d scripts ran", ran)
	}
	d.quiet(t)
	p.stop()
}
