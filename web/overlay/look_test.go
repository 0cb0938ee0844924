package overlay_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// scene stands for a game behind the overlay, in screenshots.
const scene = `document.documentElement.style.background = 'radial-gradient(circle at 72% 30%, #ffd9a0 0 4%, transparent 26%), ' +
	'linear-gradient(#5b7fc4 0, #f0b58a 52%, #2f4a34 52.2%, #16261b)'`

// Texts in every script stay in the box, in every theme and size.
func TestTextsStayInTheBox(t *testing.T) {
	s := newSite(t, lasting)
	texts := map[string]overlay.Text{
		"usual":   {Sender: "PixelPanda", Title: "Large Pepperoni Pizza", Message: "Great run tonight! Have some dinner on me 🎉"},
		"short":   {Title: "Tea"},
		"emoji":   {Sender: "🦊🌸", Title: strings.Repeat("🍕", 100), Message: strings.Repeat("👩\u200d👩\u200d👧\u200d👦🏳\ufe0f\u200d🌈👋🏽", 60)},
		"arabic":  {Sender: "سارة", Title: "قهوة وكعكة", Message: strings.Repeat("شكرا جزيلا على البث الرائع اليوم، ", 12)},
		"mixed":   {Sender: "דנה (dana_99)", Title: "פיצה XL", Message: "שלום! nice stream, " + strings.Repeat("תודה רבה ", 10) + "123"},
		"zalgo":   {Sender: "Z" + strings.Repeat("\u0337\u0310\u0355", 90), Title: "H" + strings.Repeat("\u0353\u0301", 200) + "i", Message: strings.Repeat("e\u0337\u0310\u0355\u0353\u0301\u0353\u0301", 100)},
		"long":    {Sender: strings.Repeat("W", 2000), Title: strings.Repeat("M", 2000), Message: strings.Repeat("W", 2000)},
		"words":   {Sender: "A viewer with quite a long name indeed", Title: "Spaghetti carbonara with garlic bread, and a lemonade", Message: strings.Repeat("Thank you for the stream! ", 80)},
		"lines":   {Sender: "Bo", Title: "Ramen", Message: strings.Repeat("a\n", 50)},
		"thai":    {Sender: "สมชาย", Title: "ผัดไทย", Message: strings.Repeat("ขอบคุณมากครับสำหรับสตรีมวันนี้ ", 12)},
		"chinese": {Sender: "小明", Title: "珍珠奶茶", Message: strings.Repeat("今晚的直播太精彩了！", 30)},
	}
	for _, size := range [][2]int64{{1920, 1080}, {800, 600}, {400, 160}} {
		tab := s.page("volume=0", webtest.Options{Width: size[0], Height: size[1], Reduced: true})
		var none any
		tab.Eval(scene, &none)
		for _, theme := range []string{overlay.ThemeClean, overlay.ThemePop, overlay.ThemeNight} {
			must(t, s.stages.Replace(context.Background(), map[string]overlay.Settings{name: settings(t, lasting, func(c *overlay.Settings) { c.Theme = overlay.Theme(theme) })}))
			tab.WaitFor(fmt.Sprintf("document.documentElement.dataset.theme === %q", theme))
			for kind, text := range texts {
				if size[0] < 1920 && kind != "words" && kind != "zalgo" && kind != "long" && kind != "emoji" {
					continue
				}
				must(t, s.stage.Test(text))
				s.until("the alert is shown", func() bool { return s.stage.State().Showing != nil })
				tab.WaitFor(`document.querySelector('#box .alert[data-state="in"]') && document.getAnimations().every((a) => a.playState !== 'running')`)
				wantInside(t, tab, fmt.Sprintf("%s %s %dx%d", kind, theme, size[0], size[1]))
				if size[0] == 1920 || kind == "words" {
					tab.Screenshot(fmt.Sprintf("%s-%s-%d", theme, kind, size[0]))
				}
				must(t, s.stage.Skip(context.Background()))
				tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
			}
		}
		tab.Close()
		s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })
	}
}

// wantInside fails unless all parts of the alert are within the box.
func wantInside(t *testing.T, tab *webtest.Tab, what string) {
	t.Helper()
	var outside []string
	tab.Eval(`(() => {
		const box = document.getElementById('box').getBoundingClientRect();
		const alert = document.querySelector('#box .alert').getBoundingClientRect();
		const within = (inner, outer) => inner.left >= outer.left - 1 && inner.top >= outer.top - 1 && inner.right <= outer.right + 1 && inner.bottom <= outer.bottom + 1;
		const bad = within(alert, box) ? [] : ['alert ' + JSON.stringify(alert) + ' in ' + JSON.stringify(box)];
		for (const node of document.querySelectorAll('#box .alert [data-field]')) {
			const rect = node.getBoundingClientRect();
			if (rect.width > 0 && node.dataset.field !== 'picture' && !within(rect, alert)) bad.push(node.dataset.field + ' ' + JSON.stringify(rect) + ' in ' + JSON.stringify(alert));
			if (node.scrollWidth > node.clientWidth + 2 && getComputedStyle(node).overflow !== 'hidden') bad.push(node.dataset.field + ' is wider than its place');
		}
		const sender = document.querySelector('#box [data-field="sender"]');
		if (document.querySelector('#box .alert.tiny') && innerWidth > 400) bad.push('the message is missing');
		if (sender.offsetHeight < 6) bad.push('the sender is ' + sender.offsetHeight + ' px high');
		return bad;
	})()`, &outside)
	for _, fault := range outside {
		t.Errorf("%s: %s", what, fault)
	}
}

// The widgets show the recent treats and the goal.
func TestWidgets(t *testing.T) {
	s := newSite(t, func(c *overlay.Settings) {
		c.Widgets, c.Goal = []overlay.Widget{overlay.WidgetAlerts, overlay.WidgetTicker, overlay.WidgetCounter}, overlay.Goal{Count: 20, Period: overlay.PeriodToday, Text: "Pizza party"}
		c.MinTime, c.MaxTime, c.MergeAfter = time.Second, time.Second, 1
	})
	for _, theme := range []string{overlay.ThemeClean, overlay.ThemePop, overlay.ThemeNight} {
		tab := s.page("volume=0&theme="+theme, webtest.Options{})
		var none any
		tab.Eval(scene, &none)
		s.put(12, 0)
		total := len(s.puts)
		tab.WaitFor(fmt.Sprintf(`document.querySelector('#ticker .who') && document.querySelector('#ticker .item .what').textContent === "t%06d"`, total))
		tab.WaitFor(fmt.Sprintf(`document.querySelector('#counter .number').textContent === "%d / 20"`, total))
		if got := tab.Text(`document.querySelector('#counter .caption').textContent`); got != "Pizza party" {
			t.Errorf("the caption is %q", got)
		}
		must(t, s.stage.Test(overlay.Text{Sender: "PixelPanda", Title: "Bubble tea", Message: "Cheers!"}))
		tab.WaitFor(field("title") + ` === "Bubble tea" && (window.scale = document.querySelector('#box .alert').style.getPropertyValue('--scale'))`)
		if scale := tab.Text("window.scale"); scale != "1.000" {
			t.Errorf("%s: a short text is shown at %s of its size", theme, scale)
		}
		time.Sleep(700 * time.Millisecond) // for the screenshot only
		tab.Screenshot("widgets-" + theme)
		tab.Close()
		s.until("the page is gone", func() bool { return len(s.stage.State().Pages) == 0 })
	}
	tab := s.page("widget=counter&layout=5,5,30,20,left", webtest.Options{})
	tab.WaitFor(`!document.getElementById('counter').hidden && document.getElementById('ticker').hidden`)
	tab.WaitFor(`Math.abs(document.getElementById('counter').getBoundingClientRect().left - 0.05 * innerWidth) < 2`)
}

// Parameters of the URL hold for that page alone, and relay's own words are in the language of the settings.
func TestParametersAndLocale(t *testing.T) {
	s := newSite(t, func(c *overlay.Settings) { c.MergeAfter, c.Locale = 3, "de" })
	plain := s.page("", webtest.Options{})
	tab := s.page("theme=night&layout=50,40,40,50,right&volume=7&widget=alerts,counter", webtest.Options{})
	must(t, s.stage.Pause(t.Context()))
	s.put(14, 0)
	s.until("all wait", func() bool { return s.stage.State().Waiting == 14 })
	must(t, s.stage.Resume(t.Context()))
	tab.WaitFor(field("more") + ` === "und 10 weitere Treats"`)
	plain.WaitFor(field("overline") + ` === "Neuer Treat"`)
	for expression, want := range map[string]string{
		`document.documentElement.dataset.theme`:                                           "night",
		`String(document.getElementById('box').getBoundingClientRect().left / innerWidth)`: "0.5",
		`document.getElementById('box').dataset.align`:                                     "right",
		`String(document.getElementById('counter').hidden)`:                                "false",
		`document.querySelector('#counter .caption').textContent`:                          "Treats heute",
		`document.documentElement.lang`:                                                    "de",
	} {
		if got := tab.Text(expression); got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
	if got := plain.Text(`document.documentElement.dataset.theme + document.getElementById('counter').hidden`); got != "cleantrue" {
		t.Errorf("the page without parameters: %s", got)
	}
	// A move in the dashboard reaches pages at once, but not one with its own layout.
	must(t, s.stage.SetLayout(t.Context(), &overlay.Layout{X: 10, Y: 10, Width: 30, Height: 30, Align: overlay.AlignLeft}))
	plain.WaitFor(`Math.abs(document.getElementById('box').getBoundingClientRect().left - innerWidth * 0.1) < 1`)
	if got := tab.Text(`String(document.getElementById('box').getBoundingClientRect().left / innerWidth)`); got != "0.5" {
		t.Errorf("the page with a layout moved to %s", got)
	}
}
