package overlay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// replace gives the overlay other settings while it runs.
func (s *site) replace(changes ...func(*overlay.Settings)) {
	s.t.Helper()
	must(s.t, s.stages.Replace(s.t.Context(), map[string]overlay.Settings{name: settings(s.t, changes...)}))
}

// An alert on screen suits the box when that gets smaller or larger, and does not come in again.
func TestBoxChangesUnderAnAlert(t *testing.T) {
	s := newSite(t, lasting)
	tab := s.page("volume=0", webtest.Options{})
	must(t, s.stage.Test(overlay.Text{Sender: "PixelPanda", Title: "Birthday cake", Message: strings.Repeat("Thank you for the stream! ", 20)}))
	tab.WaitFor(`document.querySelector('#box .alert[data-state="in"]') && document.getAnimations().every((a) => a.playState !== 'running')`)
	const size = `document.getElementById('box').style.getPropertyValue('--size') + document.querySelector('#box .alert').style.cssText`
	before := tab.Text(size)
	must(t, s.stage.SetLayout(t.Context(), &overlay.Layout{X: 40, Y: 40, Width: 20, Height: 15, Align: overlay.AlignLeft}))
	tab.WaitFor(`document.getElementById('box').clientWidth < 0.21 * innerWidth && ` + size + fmt.Sprintf(` !== %q`, before))
	wantInside(t, tab, "a smaller box")
	tab.WaitFor(`(() => { const alert = document.querySelector('#box .alert'); return alert.scrollHeight <= alert.clientHeight + 1 && alert.scrollWidth <= alert.clientWidth + 1; })()`)
	if got := tab.Text(`getComputedStyle(document.querySelector('#box .alert')).opacity + document.querySelector('#box .alert').getAnimations().some((a) => a.playState === 'running')`); got != "1false" {
		t.Errorf("the alert comes in again: %s", got)
	}
	must(t, s.stage.SetLayout(t.Context(), nil))
	tab.WaitFor(size + fmt.Sprintf(` === %q`, before))
}

// A theme that changes while an alert is on screen changes the whole alert.
func TestThemeChangesUnderAnAlert(t *testing.T) {
	s := newSite(t, lasting)
	s.writeFiles(map[string]string{"custom.html": `<template><b class="mine" data-field="title"></b></template>`})
	tab := s.page("volume=0", webtest.Options{Reduced: true, Script: watchDraws})
	must(t, s.stage.Test(overlay.Text{Title: "Tea"}))
	tab.WaitFor(field("title") + ` === "Tea" && document.querySelector('#box .alert.plain')`)
	theme := func(theme overlay.Theme, locale, want string) {
		t.Helper()
		s.replace(lasting, func(c *overlay.Settings) { c.Theme, c.Locale = theme, locale })
		tab.WaitFor(fmt.Sprintf(`document.documentElement.dataset.theme === %q && document.querySelectorAll('#box .alert').length === 1 && %s && %s === "Tea"`, theme, want, field("title")))
	}
	theme(overlay.ThemeNight, "en", `document.querySelector('#box .alert:not(.plain) .overline')`)
	theme(overlay.ThemeCustom, "en", `document.querySelector('#box .alert .mine')`)
	theme(overlay.ThemeClean, "de", field("overline")+` === "Neuer Treat" && document.querySelector('#box .alert.plain')`)
	if s.stage.State().Showing == nil {
		t.Error("the alert has ended")
	}
	if got := draws(tab); len(got) != 1 {
		t.Errorf("the alert came %d times", len(got))
	}
	must(t, s.stage.Skip(t.Context()))
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
}

// The picture of pop stays within the alert, which would cut it off, while it moves.
func TestPopPictureIsWhole(t *testing.T) {
	s := newSite(t, lasting, func(c *overlay.Settings) { c.Theme = overlay.ThemePop })
	tab := s.page("volume=0", webtest.Options{})
	must(t, s.stage.Test(overlay.Text{Sender: "PixelPanda", Title: "Pizza"}))
	tab.WaitFor(`document.querySelector('#box .alert[data-state="in"]')`)
	var outside []string
	tab.Eval(`(() => {
		const alert = document.querySelector('#box .alert'), picture = alert.querySelector('.picture');
		document.getAnimations().forEach((a) => { a.pause(); a.currentTime = 900; });
		const wobble = picture.getAnimations().find((a) => a.animationName === 'pop-wobble'), bad = [];
		for (let time = 1000; time <= 2600; time += 100) {
			wobble.currentTime = time;
			const inner = picture.getBoundingClientRect(), outer = alert.getBoundingClientRect();
			if (inner.top < outer.top || inner.left < outer.left || inner.right > outer.right) bad.push(time + ': ' + JSON.stringify(inner) + ' in ' + JSON.stringify(outer));
		}
		return bad;
	})()`, &outside)
	if len(outside) > 0 {
		t.Errorf("the picture is cut off: %q", outside)
	}
}

// A template without a field outside of what is removed from it, and one that cannot be read, are like none.
func TestCustomThemeWithoutFields(t *testing.T) {
	s := newSite(t, lasting, func(c *overlay.Settings) { c.Theme = overlay.ThemeCustom })
	for reason, template := range map[string]string{
		"form": `<template><form><b data-field="title"></b></form></template>`, "noscript": `<template><noscript><b data-field="title"></b></noscript></template>`,
		"button": `<button data-field="title"></button>`, "fault": `<b data-field="title"></b>`,
	} {
		s.writeFiles(map[string]string{"custom.html": template, "custom.css": "b { color: red }"})
		script := ""
		if reason == "fault" {
			script = `document.importNode = () => { throw new Error('fault'); };`
		}
		tab := s.page("volume=0", webtest.Options{Reduced: true, Script: script})
		must(t, s.stage.Test(overlay.Text{Title: reason}))
		tab.WaitFor(`document.querySelector('#box .alert.plain') && ` + field("title") + fmt.Sprintf(" === %q", reason))
		if lines := tab.Console(); len(lines) > 0 {
			t.Errorf("%s: console: %q", reason, lines)
		}
		must(t, s.stage.Skip(t.Context()))
		tab.Close()
		s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })
	}
}

// Words that are hidden from now on leave the ticker at once.
func TestHiddenWordsLeaveTheTicker(t *testing.T) {
	s := newSite(t)
	tab := s.page("widget=ticker,alerts", webtest.Options{Reduced: true})
	sender, title := "Crepeman", "badword stew"
	e := stacktest.Event("a", pipeline.OriginLive, time.Now(), 1)
	e.Data.Sender, e.Data.Title = &sender, &title
	s.putEvent(&e)
	tab.WaitFor(`document.querySelector('#ticker .what')?.textContent === 'badword stew'`)
	s.replace(func(c *overlay.Settings) { c.HideWords = []string{"badword", "crepeman"} })
	tab.WaitFor(`document.querySelector('#ticker .what').textContent === '******* stew' && document.querySelector('#ticker .who').textContent === '********'`)
}

// A ticker that moves goes on from where it is when treats come, and begins again only after a while.
func TestTickerKeepsItsPlace(t *testing.T) {
	s := newSite(t, quiet, func(c *overlay.Settings) { c.MergeAfter = 1 })
	tab := s.page("widget=ticker,alerts", webtest.Options{Script: `window.now = 0; performance.now = () => window.now;`})
	s.put(20, 0)
	tab.WaitFor(`document.querySelectorAll('#ticker .item:not(.copy)').length === 20 && document.querySelector('#ticker .track.running')`)
	// The treat at the left edge, and where it is. The animation is paused, so that it can be compared.
	const edge = `(() => {
		const item = [...document.querySelectorAll('#ticker .item')].find((one) => one.getBoundingClientRect().right > 0);
		return item.dataset.number + ' at ' + Math.round(item.getBoundingClientRect().left);
	})()`
	tab.WaitFor(`(() => {
		const track = document.querySelector('#ticker .track'), pause = () => track.getAnimations()[0]?.pause();
		pause();
		track.getAnimations()[0].currentTime = 9_000;
		new MutationObserver(pause).observe(track, { childList: true, attributes: true });
		return true;
	})()`)
	before := tab.Text(edge)
	s.put(3, 0)
	tab.WaitFor(`[...document.querySelectorAll('#ticker .item .what')].some((e) => e.textContent === 't000023')`)
	if after := tab.Text(edge); after != before {
		t.Errorf("the ticker moved from %s to %s", before, after)
	}
	tab.WaitFor("window.now = 60_000")
	s.put(1, 0)
	tab.WaitFor(`document.querySelector('#ticker .item .what').textContent === 't000024'`)
	if after := tab.Text(edge); after != "24 at 0" {
		t.Errorf("after a minute the ticker is at %s", after)
	}
}
