package webtest

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The keys of [Tab.Press] that have no character.
const (
	KeyTab    = kb.Tab
	KeyEnter  = kb.Enter
	KeyEscape = kb.Escape
	KeySpace  = " "
	KeyUp     = kb.ArrowUp
	KeyDown   = kb.ArrowDown
	KeyRight  = kb.ArrowRight
	KeyEnd    = kb.End
	KeyHome   = kb.Home
)

// Press presses keys one after the other, as a user does: the browser moves the focus, uses controls and scrolls.
func (b *Tab) Press(keys string) {
	b.t.Helper()
	run(b, chromedp.KeyEvent(keys))
}

// PressShift is Press with the Shift key held.
func (b *Tab) PressShift(keys string) {
	b.t.Helper()
	run(b, chromedp.KeyEvent(keys, chromedp.KeyModifiers(chromedp.ModifierShift)))
}

// Click clicks the middle of the first visible element that matches a CSS selector, with the mouse.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	run(b, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// ClickOpens is Click on what opens a new tab, which it returns.
func (b *Tab) ClickOpens(selector string) *Tab {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.ctx, patience, fmt.Errorf("no tab opened within %v", patience))
	defer cancel()
	opened := chromedp.WaitNewTarget(ctx, func(*target.Info) bool { return true })
	b.Click(selector)
	select {
	case id := <-opened:
		tab := newTab(b.ctx, b.t, chromedp.WithTargetID(id))
		run(tab, chromedp.EmulateViewport(1280, 900))
		return tab
	case <-ctx.Done():
		b.t.Fatal(context.Cause(ctx))
		return nil
	}
}
