package main

import (
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// otherVersion makes the page see a relay of the version in sessionStorage, and a clock of the browser that is 5 minutes slow.
const otherVersion = `{
	const now = Date.now;
	Date.now = () => now() - 300_000;
	const real = window.fetch;
	window.fetch = async (...request) => {
		const answer = await real(...request);
		const version = sessionStorage.getItem('version');
		if (!version || !answer.ok || !String(request[0]).endsWith('/status')) return answer;
		window.answers++;
		return new Response(JSON.stringify({ ...await answer.json(), version }));
	};
}`

// The dashboard shows the time of relay, loads the scripts of a new version when nobody is in the middle of something, corrects wrong addresses, and ends the
// login whose dialog is closed.
func TestDashboardDetails(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "console", "--sink", "bot")
	w.connected()
	w.live.emit(0, 1)
	holds(t, "stdout", p.out, 0, 1)
	id := events(t, p.out.get())[0].ID
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900, Script: otherVersion})
	d.WaitFor("/started (now|\\d+[sm] ago)/.test(document.querySelector('main .heading').innerText)")
	d.click("Log in again to mystream")
	d.WaitFor("document.querySelector('" + loginLink + "')")
	d.click("Close")
	d.WaitFor(`((fetch('/api/v1/accounts/mystream/login').then((r) => r.json()).then((v) => { window.login = v.state; })), window.login === 'none')`)

	d.show("overlays", "No overlays yet")
	d.click("Make the overlay main")
	d.click("Make the key")
	d.WaitFor(hasText("/overlay/main#rok_"))
	d.click("Done")
	d.show("overlays", "all accounts, made")

	d.WaitFor("(location.hash = '#/nothing', true)")
	d.WaitFor("location.hash === '#/now' && document.querySelector('main h1')?.innerText === 'Now'")
	for _, view := range []string{"history?origin=strange", "attempts?outcome=strange"} {
		d.WaitFor("(location.hash = " + quoteJS("#/"+view) + ", true)")
		d.WaitFor("document.querySelector('main .notice.bad') && !document.querySelector('main .empty')")
	}
	d.show("history", title(0))

	d.status("POST", "/api/v1/sinks/bot/disable", `{"reason":"a test"}`)
	d.show("event/"+id, "Send again")
	d.WaitFor(`((e) => e && (e.value = 'bot', e.dispatchEvent(new Event('change', { bubbles: true }))))(document.querySelector('[aria-labelledby="again-title"] select'))`)
	d.click("Replay to the sink")
	d.WaitFor(hasText("bot is disabled: it gets the event when it is enabled"))

	d.show("history", title(0))
	d.WaitFor("(document.querySelector('input[type=\"search\"]').focus(), sessionStorage.setItem('version', 'v9.9.9'), window.answers = 0, window.before = true)")
	d.WaitFor("window.answers >= 3 && window.before")
	d.WaitFor("(document.activeElement.blur(), true)")
	d.WaitFor("!window.before && document.querySelector('main h1')?.innerText === 'History'")
	d.show("now", "v9.9.9")

	d.click("Sign out owner")
	d.WaitFor(hasText("Sign in to relay"))
	d.Reload()
	d.WaitFor(hasText("http.password_file") + " && !document.querySelector('input')")
	d.Screenshot("dashboard-signin-no-password")
	other := w.openDashboard(browser, api.Owner, webtest.Options{})
	other.Close()
	d.WaitFor("(document.dispatchEvent(new Event('visibilitychange')), document.querySelector('main h1')?.innerText === 'Now')")
	p.stop()
}
