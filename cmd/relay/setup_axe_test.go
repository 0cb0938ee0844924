package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/webtest"
)

// Every step of the setup passes axe-core, with and without errors, and so does the card "Getting started" after it.
func TestSetupIsAccessible(t *testing.T) {
	axe := axeScript(t)
	browser := webtest.Start(t)
	bot := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(bot.Close)
	folder := newEmptyFolder(t)
	p, link := folder.dashboard()
	address, _, _ := strings.Cut(link, "#")
	for i, l := range looks() {
		at := address // where the link has logged in already
		if i == 0 {
			at = link
		}
		page := dashboard{browser.Open(at, l.options)}
		page.fillSetup(t, folder, bot.URL, func(step string) {
			page.accessible(t, l.String()+", "+step, axe)
			page.Screenshot(strings.Join([]string{"setup", strings.ReplaceAll(step, " ", "-"), l.theme, l.device}, "-"))
		})
		if i < len(looks())-1 {
			page.Close()
			continue
		}
		page.WaitFor(press("button", "Write the file"))
		page.WaitFor(hasText("Getting started"))
		page.Close()
	}
	p.err.find(t, "relay runs")
	for _, l := range looks() {
		page := dashboard{browser.Open(address, l.options)}
		check := func(step string) {
			page.accessible(t, l.String()+", "+step, axe)
			page.Screenshot(strings.Join([]string{"start", strings.ReplaceAll(step, " ", "-"), l.theme, l.device}, "-"))
		}
		page.WaitFor(hasText("Getting started"))
		check("Getting started")
		page.WaitFor(press(".start button", "Log in"))
		page.WaitFor("document.querySelector('dialog[open] .steps, dialog[open] .notice')") // the port of redirect_url may be taken
		page.WaitFor("!document.querySelector('dialog[open] details') || (document.querySelector('dialog[open] details').open = true)")
		check("the login")
		page.click("Close")
		page.WaitFor("!document.querySelector('dialog[open]')")
		if l == looks()[0] {
			page.WaitFor(press(".start button", "Make the address"))
			page.WaitFor("document.querySelector('.start .secret-url code')")
			check("the address")
		}
		page.WaitFor(press(".start button", "Send a test treat"))
		page.WaitFor("document.querySelectorAll('.start .arrivals .pill.good').length > 1")
		check("the test treat")
		page.Close()
	}
	p.stop()
}

// fillSetup goes through all steps of a setup, up to the last. It calls at for each state of the page.
func (d dashboard) fillSetup(t *testing.T, folder *emptyFolder, hook string, at func(step string)) {
	t.Helper()
	next := func() { d.WaitFor(press("button", "Continue")) }
	d.WaitFor(hasText("Where is your account?"))
	at("provider")
	next()
	d.WaitFor(hasText("Register this redirect URL"))
	at("access")
	next()
	d.WaitFor("document.querySelectorAll('.field-error').length === 2")
	at("access with errors")
	d.WaitFor(fill("setup-client_id", "4711"))
	d.WaitFor(fill("setup-client_secret", "hunter2-client"))
	next()
	d.WaitFor(hasText("Choose as many as you like"))
	at("places")
	d.WaitFor(press("label", "Alerts on stream"))
	next()
	d.WaitFor("document.querySelectorAll('.field-error').length === 1")
	at("places with none chosen")
	for _, name := range []string{"Alerts on stream", "Webhook", "Discord"} {
		d.WaitFor(press("label", name))
	}
	d.WaitFor("document.getElementById('setup-webhook-url') && document.getElementById('setup-discord-url')")
	d.WaitFor(fill("setup-discord-url", "https://example.com/"))
	d.WaitFor(fill("setup-webhook-url", "ftp://example.com/"))
	next()
	d.WaitFor("document.querySelectorAll('.field-error').length === 2")
	at("places with errors")
	d.WaitFor(press("label", "Discord"))
	d.WaitFor(fill("setup-webhook-url", hook))
	next()
	d.WaitFor(hasText("readable by you only"))
	at("review")
	if err := os.WriteFile(folder.config(), []byte("accounts: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.WaitFor(press("button", "Write the file"))
	d.WaitFor(hasText("exists already"))
	at("review with an error")
	if err := os.Remove(folder.config()); err != nil {
		t.Fatal(err)
	}
}
