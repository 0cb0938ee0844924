package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/web/webtest"
)

// keyboardScript has what the tests ask of the element that has the focus.
const keyboardScript = `
window.seen = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility !== 'hidden'; };
window.nameOf = (e) => (e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).innerText ?? '').trim().replace(/\s+/g, ' ');
window.stops = () => [...document.querySelectorAll('a[href], button:not([disabled]), input, select, textarea, summary, [tabindex="0"]')].filter((e) => seen(e) && e.tabIndex >= 0);
window.visited = new Set();
window.problems = [];
window.atFocus = () => {
	const e = document.activeElement;
	if (e === document.body || e.tagName === 'IFRAME') return e.tagName;
	if (e.className === 'skip' && !e.matches(':focus')) return 'BODY'; // the browser's own controls have the focus
	const style = getComputedStyle(e), r = e.getBoundingClientRect(), name = e.tagName + ' ' + nameOf(e);
	if (!visited.has(e)) {
		if (!e.matches(':focus-visible') || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) problems.push('the focus cannot be seen: ' + name);
		if (r.bottom <= 0 || r.top >= innerHeight || r.right <= 0 || r.left >= innerWidth) problems.push('it is not on screen: ' + name);
		const before = window.lastStop;
		if (before?.isConnected && !(before.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) problems.push('it comes too late: ' + name + ' after ' + nameOf(before));
		window.lastStop = e;
	}
	visited.add(e);
	return name;
};`

// reaches presses Tab until an expression is true.
func (d dashboard) reaches(t *testing.T, expression string) {
	t.Helper()
	for range 120 {
		var there bool
		if d.Eval("Boolean("+expression+")", &there); there {
			return
		}
		d.Press(webtest.KeyTab)
	}
	t.Fatalf("Tab never reaches %s; it is at %s", expression, d.Text("document.activeElement.outerHTML.slice(0, 300)"))
}

// focusOn is an expression that is true while the element with this label has the focus.
func focusOn(label string) string {
	return "nameOf(document.activeElement).startsWith(" + quoteJS(label) + ")"
}

// walk goes through a view with Tab, and back with Shift and Tab, and checks every stop.
func (d dashboard) walk(t *testing.T, where string) {
	t.Helper()
	var none any
	d.Eval("(document.activeElement.blur(), scrollTo(0, 0), visited.clear(), window.lastStop = undefined, window.problems = [], getSelection().removeAllRanges(), document.querySelector('.skip').focus(), document.activeElement.blur(), null)", &none)
	d.PressShift(webtest.KeyTab) // to the end of the page or before its beginning
	var order []string
	for range 300 {
		d.Press(webtest.KeyTab)
		at := d.Text("atFocus()")
		first := strings.Contains(at, "Skip to the content")
		if len(order) > 0 && (at == "BODY" || first) {
			break
		}
		if len(order) == 0 && !first {
			continue
		}
		if first {
			at = d.Text("(visited.clear(), window.lastStop = undefined, window.problems = [], atFocus())")
		}
		if at != "IFRAME" && (len(order) == 0 || order[len(order)-1] != at) {
			order = append(order, at)
		}
	}
	if len(order) == 0 || order[0] != "A Skip to the content" {
		t.Fatalf("%s: the first stop is not the link to the content: %q", where, order)
	}
	var problems, missed []string
	d.Eval("problems", &problems)
	d.Eval("stops().filter((e) => !visited.has(e)).map((e) => e.tagName + ' ' + nameOf(e) + ' ' + e.outerHTML.slice(0, 120))", &missed)
	for _, p := range problems {
		t.Errorf("%s: %s", where, p)
	}
	if len(missed) > 0 {
		t.Errorf("%s: Tab does not reach %q", where, missed)
	}
	var back []string
	at := ""
	for i := 0; i < 4 && at != order[len(order)-1]; i++ { // from the browser's own controls
		d.PressShift(webtest.KeyTab)
		at = d.Text("atFocus()")
	}
	for ; at != "BODY" && len(back) < 300; at = d.Text("atFocus()") {
		if at != "IFRAME" && (len(back) == 0 || back[len(back)-1] != at) {
			back = append(back, at)
		}
		if strings.Contains(at, "Skip to the content") {
			break
		}
		d.PressShift(webtest.KeyTab)
	}
	slices.Reverse(back)
	if !slices.Equal(back, order) {
		t.Errorf("%s: the way back is %q, the way there %q", where, back, order)
	}
}

// Every view is reached and used with the keyboard alone: each control is a stop, in the order of the page, with a focus that can be seen.
func TestDashboardByKeyboard(t *testing.T) {
	browser, w, p := startEvening(t, 5, 1, 3)
	texts := [][2]string{
		{"now", title(4)},
		{"overlays", "Preview"},
		{"history", title(4)},
		{"deadletters", title(3)},
		{"attempts", "Accepted"},
		{"digests", "No digests"},
		{"test", "Nothing sent yet"},
		{"config", "sinks:"},
		{"event/" + w.deadLetters()[0].ID, "Its way through relay"},
	}
	for _, l := range looks()[:2] {
		o := l.options
		o.Script += keyboardScript
		d := w.openDashboard(browser, api.Owner, o)
		for _, view := range texts {
			d.show(view[0], view[1])
			d.walk(t, l.device+", "+view[0])
		}
		d.Close()
	}
	p.stop()
}

// Dialogs keep the focus until they close, and give it back; the menu of a phone, the skip link and the box of an overlay work with keys.
func TestDashboardKeys(t *testing.T) {
	browser, w, p := startEvening(t, 3, 1)
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900, Reduced: true, Script: keyboardScript})
	d.Press(webtest.KeyTab)
	d.WaitFor(focusOn("Skip to the content"))
	d.Press(webtest.KeyEnter)
	d.WaitFor("document.activeElement.id === 'main'")
	d.Reload()
	d.WaitFor(hasText(title(2)))
	d.reaches(t, focusOn("Dead letters"))
	d.Press(webtest.KeyEnter)
	d.WaitFor("document.activeElement.id === 'main' && " + hasText(title(1)) + " && document.title === 'relay: Dead letters'")
	for _, leave := range []func(){
		func() { d.Press(webtest.KeyEscape) },
		func() { d.reaches(t, focusOn("Cancel")); d.Press(webtest.KeyEnter) },
		func() { d.reaches(t, focusOn("Close")); d.Press(webtest.KeySpace) },
	} {
		d.reaches(t, focusOn("Delete all"))
		d.Press(webtest.KeyEnter)
		d.WaitFor("document.querySelector('dialog[open]')?.contains(document.activeElement)")
		for range 7 {
			d.Press(webtest.KeyTab)
			d.WaitFor("document.querySelector('dialog[open]').contains(document.activeElement) || document.activeElement === document.body") // or the browser's own controls
		}
		leave()
		d.WaitFor("!document.querySelector('dialog[open]') && " + focusOn("Delete all"))
	}
	if letters := w.deadLetters(); len(letters) != 1 {
		t.Errorf("%d dead letters, want 1", len(letters))
	}

	d.show("now", title(2))
	d.reaches(t, focusOn("bot is enabled"))
	d.Press(webtest.KeySpace)
	d.WaitFor("document.querySelector('dialog[open]')")
	d.reaches(t, focusOn("Disable"))
	d.Press(webtest.KeyEnter)
	d.WaitFor("!document.querySelector('dialog[open]') && document.activeElement.getAttribute('aria-checked') === 'false'")

	d.show("overlays", "Preview")
	place := func() string { return d.Text("document.querySelector('.numbers input').value") }
	d.WaitFor("document.querySelector('.numbers input')")
	before := place()
	d.reaches(t, "document.activeElement.classList.contains('frame-box')")
	d.Press(strings.Repeat(webtest.KeyRight, 3))
	if after := place(); after == before {
		t.Errorf("the arrow keys leave the box at %s", after)
	}

	phone := w.openDashboard(browser, api.Owner, webtest.Options{Width: 390, Height: 844, Reduced: true, Script: keyboardScript})
	phone.reaches(t, focusOn("More"))
	phone.Press(webtest.KeyEnter)
	phone.WaitFor("document.querySelector('.side.open .in-menu').contains(document.activeElement)")
	phone.Press(webtest.KeyEscape)
	phone.WaitFor("!document.querySelector('.side.open') && " + focusOn("More"))
	phone.Press(webtest.KeyEnter)
	phone.WaitFor("document.querySelector('.side.open')")
	phone.reaches(t, focusOn("Attempts"))
	phone.Press(webtest.KeyEnter)
	phone.WaitFor("document.activeElement.id === 'main' && document.querySelector('main h1')?.innerText === 'Attempts' && !document.querySelector('.side.open')")
	p.stop()
}

// The list of treats, of which only some rows exist, is scrolled and used with keys, and stands still meanwhile. A screen reader hears of new treats
// now and then, however many come.
func TestDashboardTreatsByKeyboard(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.pages()
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	w.live.emit(0, 80)
	w.delivered(80)
	d := w.openDashboard(browser, api.Owner, webtest.Options{Width: 1280, Height: 900, Reduced: true, Script: keyboardScript})
	d.WaitFor("document.querySelector('.rows')?.innerText.includes(" + quoteJS(title(79)) + ")")
	d.reaches(t, "document.activeElement.classList.contains('rows')")
	d.Press(strings.Repeat(webtest.KeyDown, 3))
	d.WaitFor("document.activeElement.scrollTop > 0")
	d.Press(webtest.KeyEnd)
	d.WaitFor("document.querySelector('.rows').innerText.includes(" + quoteJS(title(0)) + ")")
	d.WaitFor("((e) => e.scrollTop + e.clientHeight > e.scrollHeight - 2)(document.activeElement)")
	d.Press(webtest.KeyHome)
	d.WaitFor("document.activeElement.scrollTop === 0")
	var none any
	d.Eval(`(window.told = [], new MutationObserver(() => told.push(document.querySelector('.treats [role="status"]').innerText))
		.observe(document.querySelector('.treats [role="status"]'), { childList: true, characterData: true, subtree: true }), null)`, &none)
	w.live.emit(80, 480)
	w.delivered(480)
	d.WaitFor("[...document.querySelectorAll('.treats button')].some((e) => e.innerText === '400 new')")
	if text := d.Text("document.querySelector('.rows').innerText"); !strings.Contains(text, title(79)) || strings.Contains(text, title(479)) {
		t.Errorf("the list has moved while it has the focus:\n%s", text)
	}
	d.WaitFor("told.some((text) => / new treats$/.test(text))")
	var told []string
	if d.Eval("told", &told); len(told) > 40 {
		t.Errorf("a screen reader hears %q of 400 treats", told)
	}
	row := func(n int) string {
		return "document.activeElement.matches('.treat') && document.activeElement.innerText.includes(" + quoteJS(title(n)) + ")"
	}
	d.Press(webtest.KeyTab)
	d.WaitFor(row(79))
	d.Press(webtest.KeyTab + webtest.KeyTab)
	d.WaitFor(row(77))
	d.PressShift(webtest.KeyTab)
	d.WaitFor(row(78))
	d.Press(webtest.KeyEnter)
	d.WaitFor("document.activeElement.id === 'main' && document.querySelector('.event-head')?.innerText.includes(" + quoteJS(title(78)) + ")")
	d.reaches(t, focusOn("Back"))
	d.Press(webtest.KeyEnter)
	d.WaitFor("document.querySelector('main h1')?.innerText === 'Now'")
	d.reaches(t, "document.activeElement.classList.contains('rows')")
	rows := func() (titles []string) {
		d.Eval(`[...document.querySelectorAll('.treat')].map((e) => e.innerText)`, &titles)
		return titles
	}
	if !slices.ContainsFunc(rows(), func(row string) bool { return strings.Contains(row, title(479)) }) {
		t.Errorf("the newest treat is not in %q", rows())
	}
	p.stop()
}
