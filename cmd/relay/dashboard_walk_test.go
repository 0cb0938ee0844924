package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// factsOf is an expression that is true while a card has all these texts.
func factsOf(selector, name string, texts ...string) string {
	all := "e.innerText.includes(" + quoteJS(name) + ")"
	for _, text := range texts {
		all += " && e.innerText.includes(" + quoteJS(text) + ")"
	}
	return "[...document.querySelectorAll(" + quoteJS(selector) + ")].some((e) => " + all + ")"
}

// TestDashboardWalk goes through an evening on the dashboard: what works, what does not, the search, an event and its replay, dead letters, and a sink that
// is disabled and enabled.
func TestDashboardWalk(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	w.bot.refuses(title(1), title(2))
	p := w.start()
	w.connected()
	w.live.emit(0, 6)
	eventually(t, func() error {
		if s := w.status("bot"); s.DeadLetters != 2 {
			return fmt.Errorf("%d dead letters, want 2", s.DeadLetters)
		}
		return nil
	})
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1440, Height: 1000, Reduced: true})
	d.WaitFor(factsOf(".account", "mystream", "Connected", "Last treat", "Token", "active"))
	for _, sink := range []string{"bot", "console", "overlay"} {
		d.WaitFor(factsOf(".sink", sink, "Rate", "p50", "p99", "Waiting", "Failures", "Last delivery", "OK"))
		d.WaitFor(`document.querySelector('.canvas[aria-label^="Rate of ` + sink + ` in the last hour"] canvas')`)
	}
	d.click("Latency")
	d.WaitFor(`document.querySelector('.canvas[aria-label^="Latency of bot in the last hour"] canvas')`)

	d.show("history?text="+strings.ReplaceAll(strings.ToLower(title(4)), " ", "+"), "1 treat")
	d.show("history?account=mystream", "6 treats")
	d.show("history?since=2999-01-01T00:00", "No treat in the journal matches.")
	d.show("history?until=2999-01-01T00:00&text=pizza", "6 treats")
	refused := w.deadLetters()[0].ID // of either treat: two refusals have no order
	d.show("event/"+refused, "no such dish")
	d.WaitFor("JSON.parse(document.querySelector('pre.json').textContent).data.title === " + quoteJS(titleOf(t, p.out, refused)))
	d.WaitFor("document.querySelectorAll('.timeline li.bad').length > 1 && document.querySelectorAll('.timeline li.good').length > 1")
	d.show("history?text=00004", title(4))
	d.click(d.Text("document.querySelector('main tbody a').innerText"))
	d.WaitFor(hasText("Replay to the sink"))
	before := strings.Count(w.bot.text(), title(4))
	d.click("Replay to the sink")
	d.WaitFor(hasText("Replayed to bot"))
	eventually(t, func() error {
		if n := strings.Count(w.bot.text(), title(4)); n != before+1 {
			return fmt.Errorf("the webhook has it %d times, want %d", n, before+1)
		}
		return nil
	})

	w.bot.refuses()
	d.show("deadletters", title(2))
	letters := w.deadLetters()
	d.click(fmt.Sprintf("Send dead letter %d again", letters[0].Number))
	w.awaitEvent(letters[0].ID)
	d.click(fmt.Sprintf("Delete dead letter %d", letters[1].Number))
	d.click("Delete")
	d.WaitFor(hasText("No dead letters"))
	if left := w.deadLetters(); len(left) != 0 {
		t.Errorf("the dead letters are %+v", left)
	}

	d.show("now", "Everything works.")
	d.click("bot is enabled")
	d.click("Disable")
	d.WaitFor(factsOf(".problem", "Sink bot is disabled"))
	d.WaitFor("document.querySelector('.problems').compareDocumentPosition(document.querySelector('.totals')) & Node.DOCUMENT_POSITION_FOLLOWING") // it comes first
	w.live.emit(6, 9)
	d.WaitFor(factsOf(".sink", "bot", "Disabled", "Waiting\n3"))
	d.click("Enable")
	holds(t, "the console", p.out, 0, 9)
	eventually(t, func() error {
		if !strings.Contains(w.bot.text(), title(8)) {
			return fmt.Errorf("the enabled sink has not got %s", title(8))
		}
		return nil
	})
	d.WaitFor(hasText("Everything works."))

	w.bot.server.Close()
	w.live.emit(9, 10)
	d.WaitFor(factsOf(".problem", "Sink bot is down", "relay tries again by itself"))
	d.click("See attempts")
	d.WaitFor("document.querySelector('main h1')?.innerText === 'Attempts' && " + hasText("connection refused"))
	p.signal(syscall.SIGKILL)
	p.exit()
	d.WaitFor(hasText("No connection to relay"))
}

// A dashboard that gets 200 treats a second for a while shows the newest one, and holds no more rows than fit on the screen.
func TestDashboardKeepsUp(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	w.live.emit(0, 5)
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1440, Height: 1000, Script: `window.most = 0;
		new MutationObserver(() => { window.most = Math.max(window.most, document.querySelectorAll('*').length); }).observe(document, { childList: true, subtree: true });`})
	d.WaitFor(hasText(title(4)))
	d.WaitFor("document.querySelector('.canvas canvas')")
	var before int
	d.Eval("document.querySelectorAll('*').length", &before)
	const n = 3000
	w.live.emit(5, n)
	d.WaitFor("document.querySelector('.treat')?.innerText.includes(" + quoteJS(title(n-1)) + ")")
	var rows, most, set int
	d.Eval("document.querySelectorAll('.treat').length", &rows)
	d.Eval("window.most", &most)
	d.Eval("Number(document.querySelector('.rows li').getAttribute('aria-setsize'))", &set)
	if rows > 40 || most > before+40*16 || set != 2000 {
		t.Errorf("%d rows of %d are drawn, want at most 40 of 2000; the page had %d elements, before %d", rows, set, most, before)
	}
	d.quiet(t)
	p.stop()
}

// No view is wider than a phone.
func TestDashboardFitsAPhone(t *testing.T) {
	browser, w, p := startEvening(t, 5, 1)
	for _, width := range []int64{320, 390} {
		d := w.openDashboard(browser, api.Owner, webtest.Options{Width: width, Height: 700, Reduced: true})
		for _, view := range [][2]string{
			{"now", title(4)},
			{"overlays", "Preview"},
			{"history", title(4)},
			{"deadletters", title(1)},
			{"attempts", "Accepted"},
			{"digests", "No digests"},
			{"test", "Nothing sent yet"},
			{"config", "sinks:"},
			{"event/" + w.deadLetters()[0].ID, "Its way through relay"},
		} {
			d.show(view[0], view[1])
			var wide []string
			d.Eval(`document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.tagName + '.' + e.className).slice(0, 5)`, &wide)
			if len(wide) > 0 {
				t.Errorf("%d pixels, %s: too wide are %q", width, view[0], wide)
			}
		}
		d.Close()
	}
	p.stop()
}

// titleOf returns the title of an event that a sink has.
func titleOf(t *testing.T, sink *lines, id string) string {
	t.Helper()
	for _, e := range events(t, sink.get()) {
		if e.ID == id {
			return *e.Data.Title
		}
	}
	t.Fatalf("no event %s in:\n%s", id, sink.text())
	return ""
}
