package overlay_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/internal/hostiletest"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// watchScripts notes whether a script has run.
const watchScripts = `window.pwnedCount = 0; window.pwned = () => { window.pwnedCount++; };
	document.addEventListener('securitypolicyviolation', (e) => console.log('violation ' + e.violatedDirective + ' ' + e.blockedURI));`

// shape is an expression for the elements of the alert on screen, without its texts.
const shape = `[...document.querySelectorAll('#box *')].map((e) => e.tagName + (e.id ? '#' : '') + e.getAttributeNames().filter((n) => n !== 'hidden' && n !== 'style').join()).join(' ')`

// No text of a viewer becomes an element or runs.
func TestTextsNeverBecomeHTML(t *testing.T) {
	s := newSite(t, lasting)
	corpus := hostiletest.Texts(t)
	tab := s.page("volume=0&speech=1", webtest.Options{Script: watchScripts, Reduced: true})
	want := ""
	for i := range corpus {
		text := overlay.Text{Sender: corpus[i], Title: corpus[(i+33)%len(corpus)], Message: corpus[(i+66)%len(corpus)]}
		must(t, s.stage.Test(text))
		s.until("the alert is shown", func() bool { return s.stage.State().Showing != nil })
		tab.WaitFor(`document.querySelector('#box .alert[data-state="in"]')`)
		shown := s.stage.State().Showing
		for name, expected := range map[string]string{"title": shown.Title, "message": shown.Message, "sender": shown.Sender} {
			if expected == "" && name == "sender" {
				expected = "Anonymous"
			}
			if got := tab.Text(field(name)); got != expected {
				t.Errorf("%s of %q: the page has %q, want %q", name, corpus[i], got, expected)
			}
		}
		if clean := displaytext.Clean(text.Sender, 1); len([]rune(clean)) < 80 && shown.Sender != clean {
			t.Errorf("the sender %q is %q", corpus[i], shown.Sender)
		}
		if got := tab.Text(shape); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%q makes %s, want %s", corpus[i], got, want)
		}
		must(t, s.stage.Skip(t.Context()))
		tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	}
	var ran int
	if tab.Eval("window.pwnedCount", &ran); ran != 0 {
		t.Errorf("%d scripts ran", ran)
	}
	if lines := tab.Console(); len(lines) > 0 {
		t.Errorf("console: %q", lines)
	}
}

// The same for the ticker, over the journal.
func TestTickerNeverBecomesHTML(t *testing.T) {
	s := newSite(t)
	tab := s.page("widget=ticker", webtest.Options{Script: watchScripts, Reduced: true})
	corpus := hostiletest.Texts(t)
	for at := 0; at < len(corpus); at += 20 {
		some := corpus[at:min(at+20, len(corpus))]
		for i, text := range some {
			e := stacktest.Event("a", pipeline.OriginLive, time.Now(), at+i)
			e.Data.Sender, e.Data.Title = &text, &some[len(some)-1-i]
			s.putEvent(&e)
		}
		last := displaytext.Clean(some[len(some)-1], 1)
		if r := []rune(last); len(r) > 70 {
			last = string(r[:70])
		}
		want, err := json.Marshal(last)
		must(t, err)
		tab.WaitFor(`document.querySelector('#ticker .who')?.textContent.startsWith(` + string(want) + `)`)
		var bad []string
		tab.Eval(`[...document.querySelectorAll('#ticker .track *')].filter((e) => !['SPAN', 'BDI'].includes(e.tagName)).map((e) => e.outerHTML)`, &bad)
		if len(bad) > 0 {
			t.Errorf("elements: %q", bad)
		}
	}
	var ran int
	if tab.Eval("window.pwnedCount", &ran); ran != 0 {
		t.Errorf("%d scripts ran", ran)
	}
	if lines := tab.Console(); len(lines) > 0 {
		t.Errorf("console: %q", lines)
	}
}

// writeFiles puts files into the overlay's folder.
func (s *site) writeFiles(files map[string]string) {
	s.t.Helper()
	dir := filepath.Join(s.config.Files, name)
	must(s.t, os.MkdirAll(dir, 0o700))
	for file, content := range files {
		must(s.t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
	}
}

// svg is a picture of 40 by 20 pixels. The script in it never runs.
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" onload="pwned()"><script>pwned()</script><rect width="40" height="20" fill="red"/></svg>`

// A custom theme draws its template with its style and its pictures, but its scripts do not run.
func TestCustomTheme(t *testing.T) {
	s := newSite(t, lasting, func(c *overlay.Settings) {
		c.Theme, c.Pictures = overlay.ThemeCustom, map[string]string{"pizza": "pizza.svg", "cake": "missing.png"}
	})
	s.writeFiles(map[string]string{
		"pizza.svg": svg, "frame.svg": svg,
		"custom.css": `.mine { color: rgb(1, 2, 3); background: url("frame.svg"); } @import url("https://example.com/x.css");`,
		"custom.html": `<template><style>.mine { color: red }</style><div class="mine" style="color:red" onclick="pwned()">
			<script>pwned()</script><script src="https://example.com/x.js"></script><iframe srcdoc="<script>parent.pwned()</script>"></iframe>
			<img src="frame.svg" onload="pwned()"><img src="https://example.com/track.png" onerror="pwned()"><img srcset="x 1x" src="missing.png" onerror="pwned()">
			<svg onload="pwned()"><a xlink:href="javascript:pwned()"><text>x</text></a></svg><form action="javascript:pwned()"><input autofocus onfocus="pwned()"></form>
			<i data-field="picture"></i><b data-field="sender">old</b>: <u data-field="title"></u><p data-field="message"></p><a href="javascript:pwned()">link</a>
			</div></template>`,
	})
	tab := s.page("volume=0", webtest.Options{Script: watchScripts})
	must(t, s.stage.Test(overlay.Text{Sender: "<b>Ada</b>", Title: "Pizza", Message: "hello"}))
	tab.WaitFor(field("title") + ` === "Pizza"`)
	tab.WaitFor(`document.querySelector('#box [data-field="picture"] img')?.naturalWidth === 40`)
	for expression, want := range map[string]string{
		field("sender"): "<b>Ada</b>", field("message"): "hello",
		`getComputedStyle(document.querySelector('#box .mine')).color`:                                                                                       "rgb(1, 2, 3)",
		`getComputedStyle(document.querySelector('#box .mine')).backgroundImage.slice(0, 10)`:                                                                `url("blob:`,
		`String(document.querySelectorAll('#box :is(script, style, iframe, form, input, [onload], [onerror], [onclick], [style*="red"], [srcset])').length)`: "0",
		`[...document.querySelectorAll('#box .mine > img')].map((i) => (i.getAttribute('src') ?? 'none').slice(0, 5)).join()`:                                "blob:,none,none",
		`[...document.querySelectorAll('#box a')].map((a) => a.getAttributeNames().join()).join('|')`:                                                        "|",
	} {
		if got := tab.Text(expression); got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
	must(t, s.stage.Skip(t.Context()))
	must(t, s.stage.Test(overlay.Text{Title: "cake"})) // its picture does not exist
	tab.WaitFor(field("picture") + ` === "🍰"`)
	var ran int
	if tab.Eval("window.pwnedCount", &ran); ran != 0 {
		t.Errorf("%d scripts ran", ran)
	}
	for _, line := range tab.Console() {
		if strings.HasPrefix(line, "exception") || strings.HasPrefix(line, "dialog") || strings.Contains(line, "example.com") {
			t.Errorf("console: %s", line)
		}
	}
}
