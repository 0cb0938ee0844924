package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/web/webtest"
)

// loginLink is the link to the provider's page in the dialog of a login.
const loginLink = "dialog[open] a.button.primary"

// answers gives the provider's answer on its page, which a click on the link opens, and returns that page.
func (d dashboard) answers(decision string) *webtest.Tab {
	d.WaitFor("document.querySelector('" + loginLink + "')")
	page := d.ClickOpens(loginLink)
	page.WaitFor(hasText("Allow relay to see your treats?"))
	page.Click("button[value=" + decision + "]")
	return page
}

// TestSetupToDelivery goes from an empty folder to a relay that delivers a real treat, all in one browser: provider, client, places, the login with the
// provider's own page, the overlay, and a test treat.
func TestSetupToDelivery(t *testing.T) {
	browser := webtest.Start(t)
	received := new(lines)
	bot := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			received.add(body)
		}
	}))
	t.Cleanup(bot.Close)
	sim, err := simulator.Start(context.WithoutCancel(t.Context()), simulator.Config{Consent: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	folder := newEmptyFolder(t)
	p, link := folder.dashboard()
	page := dashboard{browser.Open(link, webtest.Options{Width: 1280, Height: 900, Reduced: true})}
	page.WaitFor(hasText("Where is your account?"))
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(fill("setup-client_id", simulator.DefaultClientID))
	page.WaitFor(fill("setup-client_secret", simulator.DefaultClientSecret))
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(press("label", "Webhook"))
	page.WaitFor(fill("setup-webhook-url", bot.URL))
	page.WaitFor(press("button", "Continue"))
	page.WaitFor(press("button", "Write the file"))
	page.WaitFor(hasText("Getting started"))
	p.err.find(t, "relay runs")
	folder.useSimulator(sim)
	p.reload("configuration loaded again")

	page.WaitFor(press(".start button", "Log in"))
	provider := page.answers("allow")
	provider.WaitFor(hasText("Connected"))
	provider.Screenshot("login-connected")
	page.WaitFor(hasText("Logged in. relay connects now."))
	page.Screenshot("login-done")
	page.click("Done")
	page.WaitFor("!document.querySelector('dialog[open]') && document.querySelector('.start li.done h3')?.innerText === 'Log in'")
	eventually(t, func() error {
		if n := sim.Connections(); n != 1 {
			return fmt.Errorf("%d connections at the provider, want 1", n)
		}
		return nil
	})
	page.WaitFor(press("button", "Make the address"))
	page.WaitFor("document.querySelector('.start .secret-url code')")
	overlay := browser.Open(page.Text("document.querySelector('.start .secret-url code').innerText"), webtest.Options{Reduced: true})
	page.WaitFor(press(".start button", "Send a test treat"))
	overlay.WaitFor(hasText("Pizza Margherita"))
	received.find(t, `"origin":"test"`)
	page.WaitFor(`[...document.querySelectorAll('.arrivals li')].some((e) => e.innerText.startsWith('bot\n') && e.innerText.includes('Arrived'))`)
	page.WaitFor(hasText("all done"))

	if _, err := sim.Emit(simulator.Treat{Sender: "Ada", SenderType: "twitch", Title: "Real Ramen"}); err != nil {
		t.Fatal(err)
	}
	if line := received.find(t, "Real Ramen"); !strings.Contains(line, `"origin":"live"`) {
		t.Errorf("the webhook receives %s", line)
	}
	overlay.WaitFor(hasText("Real Ramen"))
	page.Front()
	page.WaitFor(`document.querySelector('.rows')?.innerText.includes('Real Ramen')`)
	page.WaitFor("document.querySelector('.account')?.innerText.includes('Connected')")
	p.stop()
	if out := p.err.text() + p.out.text(); strings.Contains(out, simulator.DefaultClientSecret) {
		t.Error("the client secret is in the output")
	}
}

// useSimulator makes the account that a setup has written use a simulated provider.
func (f *emptyFolder) useSimulator(sim *simulator.Server) {
	f.t.Helper()
	text, err := os.ReadFile(f.config())
	if err != nil {
		f.t.Fatal(err)
	}
	e := sim.Endpoints()
	keys := fmt.Sprintf("    redirect_url: http://127.0.0.1:%d/callback\n    endpoints: {authorize: %q, token: %q, refresh: %q, socket_token: %q, history: %q, socket: %q}",
		freePort(f.t), e.Authorize, e.Token, e.Refresh, e.SocketToken, e.History, e.Socket)
	changed := replaceOnce(f.t, string(text), "    # redirect_url: "+config.DefaultRedirectURL, keys)
	if err := os.WriteFile(f.config(), []byte(changed), 0o600); err != nil {
		f.t.Fatal(err)
	}
}
