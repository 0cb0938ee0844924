package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/web/webtest"
)

// accessible checks the page as it is with axe-core, whose script is axe.
func (d dashboard) accessible(t *testing.T, where, axe string) {
	t.Helper()
	var none any
	d.Eval("(() => { if (!window.axe) {"+axe+"\n} return null; })()", &none)
	d.Eval(`(window.violations = null, axe.run({ iframes: false }).then(
		(r) => { window.violations = r.passes.length < 5 ? ['axe has looked at too little'] : r.violations.flatMap((v) => v.nodes.map((n) => v.id + ': ' + n.target.join(' ') + ': ' + n.html.slice(0, 200) + ': ' + n.failureSummary)); },
		(e) => { window.violations = [String(e)]; }), null)`, &none)
	d.WaitFor("window.violations && document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getComputedTiming().iterations === Infinity)")
	var wide int
	if d.Eval("document.documentElement.scrollWidth - document.documentElement.clientWidth", &wide); wide > 0 {
		t.Errorf("%s: the page scrolls sideways, by %d pixels", where, wide)
	}
	var violations []string
	d.Eval("window.violations", &violations)
	for _, v := range violations {
		t.Errorf("%s: %s", where, strings.ReplaceAll(v, "\n", " "))
	}
}

// axeScript returns the script of axe-core.
func axeScript(t *testing.T) string {
	t.Helper()
	_, peers := peertest.Require(t)
	script, err := os.ReadFile(filepath.Join(peers, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// A look is how a page is displayed.
type look struct {
	theme, device string
	options       webtest.Options
}

func (l look) String() string { return l.theme + ", " + l.device }

// looks are light and dark, each on a desktop and on a phone.
func looks() (all []look) {
	for _, theme := range []string{"light", "dark"} {
		for _, o := range []look{
			{device: "desktop", options: webtest.Options{Width: 1440, Height: 1000}},
			{device: "phone", options: webtest.Options{Width: 360, Height: 780}},
		} {
			o.theme, o.options.Reduced = theme, true
			o.options.Script = "try { localStorage.setItem('relay.theme', '" + theme + "'); } catch {}"
			all = append(all, o)
		}
	}
	return all
}

// Every view passes axe-core in light and dark, on a desktop and on a phone.
func TestDashboardIsAccessible(t *testing.T) {
	axe := axeScript(t)
	browser, w, p := startEvening(t, 5, 1, 3)
	event := "event/" + w.deadLetters()[0].ID
	texts := map[string]string{
		"now": title(4), "overlays": "Preview", "history": title(4), "deadletters": title(3), "attempts": "Accepted", "digests": "No digests", "test": "Nothing sent yet", "config": "sinks:", event: "Its way through relay",
	}
	for _, l := range looks() {
		d := w.openDashboard(browser, api.Owner, l.options)
		for _, view := range slices.Sorted(maps.Keys(texts)) {
			d.show(view, texts[view])
			path, _, _ := strings.Cut(view, "/")
			d.accessible(t, l.String()+", "+path, axe)
			d.Screenshot(strings.Join([]string{"dashboard", path, l.theme, l.device}, "-"))
		}
		d.show("deadletters", title(3))
		d.click("Delete all")
		d.WaitFor("document.querySelector('dialog[open]')")
		d.accessible(t, l.String()+", a question", axe)
		d.click("Cancel")
		if l.device == "phone" {
			d.click("More")
			d.WaitFor("document.querySelector('.side.open')")
			d.accessible(t, l.String()+", the menu", axe)
		}
		d.click("Sign out owner")
		d.WaitFor(hasText("Sign in to relay"))
		d.accessible(t, l.String()+", sign in", axe)
		d.quiet(t)
		d.Close()
	}
	p.stop()
}
