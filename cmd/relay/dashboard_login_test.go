package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/web/webtest"
)

// elsewhere opens a provider's page with a browser on another machine, allows the access if the page asks, and returns the address of the page that does
// not load there.
func elsewhere(t *testing.T, page string) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if _, rest, asks := strings.Cut(string(text), `name="ticket" value="`); asks {
		ticket, _, _ := strings.Cut(rest, `"`)
		at, _, _ := strings.Cut(page, "?")
		if resp, err = browser.PostForm(at, url.Values{"ticket": {ticket}, "decision": {"allow"}}); err == nil {
			_ = resp.Body.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	address := resp.Header.Get("Location")
	if address == "" {
		t.Fatalf("the provider does not redirect: %s", resp.Status)
	}
	return address
}

// loggedOut ends the login of the relay that runs, at the provider.
func (w *world) loggedOut() {
	w.t.Helper()
	w.connected()
	w.sim.RevokeAll()
	w.live.drop()
}

// A login that is denied, that fails at the provider, or whose pages are closed half-way says so, and can be started again.
func TestDashboardLoginFails(t *testing.T) {
	axe := axeScript(t)
	browser := webtest.Start(t)
	w := newWorldWith(t, simulator.Config{Consent: true}, simulatedRealtime)
	w.pages()
	right := w.settings
	w.login()
	p := w.start("--sink", "console")
	w.loggedOut()
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900, Reduced: true})
	d.WaitFor(hasText("Account mystream needs a login"))
	failed := func(provider *webtest.Tab, texts ...string) {
		t.Helper()
		for _, text := range texts {
			provider.WaitFor(hasText(text))
			d.WaitFor("document.querySelector('dialog[open] .notice.bad')?.innerText.includes(" + quoteJS(text) + ")")
		}
		provider.Close()
	}
	open := func() {
		t.Helper()
		d.WaitFor(press(".problem button", "Log in"))
		d.WaitFor("document.querySelector('" + loginLink + "')")
	}

	open()
	failed(d.answers("deny"), "declined: access_denied")
	d.accessible(t, "a denied login", axe)
	d.Screenshot("login-denied")
	d.click("Start again")
	d.WaitFor(hasText("Waiting for the login."))
	failed(d.answers("deny"), "declined: access_denied")
	d.click("Close")

	w.configure(func(s *settings) { s.account().ClientSecret = "hunter2-wrong" })
	p.reload("configuration loaded again")
	open()
	failed(d.answers("allow"), "invalid_client")
	d.Screenshot("login-wrong-secret")
	d.click("Close")

	w.settings = right
	w.configure(func(s *settings) {
		s.account().Endpoints.Token = fmt.Sprintf("http://127.0.0.1:%d/token", freePort(t))
	})
	p.reload("configuration loaded again")
	open()
	failed(d.answers("allow"), "connection refused")
	d.Screenshot("login-provider-down")
	d.click("Close")

	w.settings = right
	w.writeSettings()
	p.reload("configuration loaded again")
	open()
	half := d.ClickOpens(loginLink)
	half.WaitFor(hasText("Allow relay to see your treats?"))
	half.Close()
	address := d.Text("document.querySelector('" + loginLink + "').href")
	d.Reload() // and the dashboard is closed half-way too
	open()
	if again := d.Text("document.querySelector('" + loginLink + "').href"); again != address {
		t.Errorf("the login goes on at %s, not at %s", again, address)
	}
	d.answers("allow").WaitFor(hasText("Connected"))
	d.WaitFor(hasText("Logged in. relay connects now."))
	w.connected()
	d.click("Done")
	d.WaitFor(hasText("Everything works."))
	p.stop()
	if strings.Contains(p.err.text(), "hunter2") {
		t.Error("a client secret is in the log")
	}
}

// From a browser on another machine, the address of the last page is pasted. A wrong one is refused with the reason, and the login goes on.
func TestDashboardLoginFromAnotherMachine(t *testing.T) {
	axe := axeScript(t)
	browser := webtest.Start(t)
	w := newWorldWith(t, simulator.Config{Consent: true}, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "console")
	w.loggedOut()
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 390, Height: 844, Reduced: true})
	d.WaitFor(press(".problem button", "Log in"))
	d.WaitFor("document.querySelector('" + loginLink + "')")
	login := d.Text("document.querySelector('" + loginLink + "').href")
	d.Click("dialog[open] summary")
	paste := func(address string) {
		t.Helper()
		d.Eval("(() => { const e = document.querySelector('dialog[open] input'); e.value = "+quoteJS(address)+"; return e.dispatchEvent(new Event('input', { bubbles: true })); })()", new(bool))
		d.Click("dialog[open] form button")
	}
	for address, why := range map[string]string{
		login: "It must be the one that TreatStream sent the browser to", "http://127.0.0.1/callback?code=x&state=wrong": "wrong state",
	} {
		paste(address)
		d.WaitFor("document.querySelector('dialog[open] .notice.warn')?.innerText.includes(" + quoteJS(why) + ")")
		d.WaitFor(hasText("Waiting for the login."))
	}
	d.accessible(t, "a wrong address", axe)
	d.Screenshot("login-wrong-address")
	paste(elsewhere(t, login))
	d.WaitFor(hasText("Logged in. relay connects now."))
	w.connected()
	d.click("Done")
	w.live.emit(0, 1)
	d.WaitFor(hasText(title(0)))
	p.stop()
}

// An account with personal tokens takes a pasted one, and says why it refuses another.
func TestDashboardTakesAPersonalToken(t *testing.T) {
	axe := axeScript(t)
	browser := webtest.Start(t)
	c := newClouds(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	w.configure(func(s *settings) {
		s.Accounts["trees"] = &accountSettings{Provider: "treesnap", BaseURL: c.server.URL + "/web-services/v1"}
	})
	p := w.start("--sink", "console")
	w.connected()
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900, Reduced: true})
	d.click("Log in to trees")
	use := func(token string) {
		t.Helper()
		d.WaitFor(`((e) => e && (e.value = ` + quoteJS(token) + `, e.dispatchEvent(new Event('input', { bubbles: true }))))(document.querySelector('dialog[open] input[type="password"]'))`)
		d.Click("dialog[open] form button")
	}
	use("wrong-" + personal)
	d.WaitFor("document.querySelector('dialog[open] .notice.bad')")
	if text := d.Text("document.body.innerText"); strings.Contains(text, personal) {
		t.Errorf("the page shows the token:\n%s", text)
	}
	d.accessible(t, "a wrong token", axe)
	d.Screenshot("login-token")
	use(personal)
	d.WaitFor(hasText("Logged in. relay connects now."))
	if g := w.grant("trees"); g.AccessToken.Reveal() != personal {
		t.Error("the token is not stored")
	}
	p.stop()
	if strings.Contains(p.err.text(), personal) {
		t.Error("the token is in the log")
	}
}
