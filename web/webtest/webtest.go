// Package webtest drives a real Chromium for tests of relay's pages.
package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/inspector"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds the wait for an expected condition on a busy machine.
const patience = time.Minute

// Browser is a Chromium of its own, with an empty profile.
type Browser struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp's handle of the browser
}

// Start starts a browser, which ends with the test. Without Chromium it skips the test, or fails it if
// RELAY_REQUIRE_PEERS=1.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := find()
	if err != nil {
		if os.Getenv("RELAY_REQUIRE_PEERS") == "1" {
			t.Fatalf("RELAY_REQUIRE_PEERS=1, but: %v; the test needs Chromium", err)
		}
		t.Skipf("needs Chromium: %v", err)
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.Headless}
	for flag := range strings.FieldsSeq("disable-gpu disable-quic no-first-run no-default-browser-check disable-background-networking " +
		"disable-component-update disable-sync disable-background-timer-throttling disable-renderer-backgrounding " +
		"disable-backgrounding-occluded-windows disable-dev-shm-usage mute-audio hide-scrollbars disable-smooth-scrolling") { // a key that scrolls has scrolled before the next one
		options = append(options, chromedp.Flag(flag, true))
	}
	options = append(options, chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		within, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the browser did not end within %v", patience))
		defer cancel()
		if err := chromedp.Cancel(within); err != nil {
			t.Logf("end Chromium: %v", err)
		}
		stop()
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &Browser{t, ctx}
}

// find returns the path of a Chromium.
func find() (string, error) {
	var first error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// ClearCache removes all files of pages that the browser keeps.
func (b *Browser) ClearCache() {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx) // a tab of its own
	defer stop()
	if _, err := chromedp.Call(ctx, network.ClearBrowserCache, cdp.Empty{}); err != nil {
		b.t.Fatalf("clear the browser's cache: %v", err)
	}
}

// Tab is an open page.
type Tab struct {
	t    testing.TB
	ctx  context.Context //nolint:containedctx // chromedp's handle of the tab
	stop context.CancelFunc

	crashed chan struct{}

	mu      sync.Mutex
	console []string
}

// Options are what a tab has before its first page.
type Options struct {
	Width, Height int64  // of the page; 0: 1920 x 1080
	Reduced       bool   // animations are not wanted
	Script        string // runs before those of each page
	CountCPU      bool   // for [Tab.CPU]
}

// Open opens a page in a new tab.
func (b *Browser) Open(url string, o Options) *Tab {
	b.t.Helper()
	tab := newTab(b.ctx, b.t)
	ctx := tab.ctx
	if o.Width == 0 {
		o.Width, o.Height = 1920, 1080
	}
	motion := &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "no-preference"}
	if o.Reduced {
		motion.Value = "reduce"
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{motion}})
	if err == nil && o.Script != "" {
		_, err = chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: o.Script})
	}
	if err == nil && o.CountCPU {
		_, err = chromedp.Call(ctx, performance.Enable, performance.EnableParams{TimeDomain: "threadTicks"})
	}
	if err != nil {
		b.t.Fatalf("prepare a tab: %v", err)
	}
	run(tab, chromedp.EmulateViewport(o.Width, o.Height))
	run(tab, chromedp.Navigate(url))
	return tab
}

// newTab returns a tab of the browser, or of that tab, whose context this is.
func newTab(parent context.Context, t testing.TB, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(parent, options...)
	tab := &Tab{t: t, ctx: ctx, stop: stop, crashed: make(chan struct{})}
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return tab
}

// listen takes the events of the tab.
func (b *Tab) listen(event any) {
	line := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, arg := range e.Args {
			var text string
			if json.Unmarshal(arg.Value, &text) != nil {
				text = arg.Description
			}
			words = append(words, text)
		}
		line = strings.Join(words, " ")
	case *runtime.EventExceptionThrown:
		line = "exception: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			line += " " + x.Description
		}
	case *browserlog.EventEntryAdded:
		line = strings.TrimSpace("browser: " + e.Entry.Text + " " + e.Entry.URL)
	case *inspector.EventTargetCrashed:
		close(b.crashed)
	case *page.EventJavascriptDialogOpening:
		line = "dialog: " + e.Message
	}
	if line != "" {
		b.mu.Lock()
		b.console = append(b.console, line)
		b.mu.Unlock()
	}
}

// run runs an action in a tab.
func run[T any](b *Tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.ctx, patience, fmt.Errorf("the page did not answer within %v", patience))
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// Eval evaluates an expression, and decodes its value.
func (b *Tab) Eval(expression string, into any) {
	b.t.Helper()
	value := run(b, chromedp.Evaluate[json.RawMessage](expression))
	if err := json.Unmarshal(value, into); err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
}

// Text returns the value of an expression that is a text.
func (b *Tab) Text(expression string) (text string) {
	b.t.Helper()
	b.Eval(expression, &text)
	return text
}

// WaitFor waits until an expression is true.
func (b *Tab) WaitFor(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var ok bool
		b.Eval("Boolean("+expression+")", &ok)
		if ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s; the page: %.2000s", expression, b.Text("document.body.outerHTML"))
		}
	}
}

// Console returns what the page has written to its console, and, with a prefix, exceptions, dialogs, and what the browser
// complains of.
func (b *Tab) Console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.console)
}

// CPU returns how long the main thread of a tab with CountCPU has run since the tab was opened, without what it waited for a processor.
func (b *Tab) CPU() time.Duration {
	b.t.Helper()
	all, err := chromedp.Call(b.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		b.t.Fatalf("get the metrics of the page: %v", err)
	}
	for _, m := range all.Metrics {
		if m.Name == "TaskDuration" {
			return time.Duration(m.Value * float64(time.Second))
		}
	}
	b.t.Fatal("the browser does not count the time of the main thread")
	return 0
}

// Reload reloads the page.
func (b *Tab) Reload() {
	b.t.Helper()
	run(b, chromedp.Reload())
}

// Front brings the tab to the front, so that its page is visible: a tab that it has opened may have hidden it.
func (b *Tab) Front() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		b.t.Fatalf("bring a tab to the front: %v", err)
	}
}

// Crash kills the process of the page, and closes the tab.
func (b *Tab) Crash() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	var asked sync.WaitGroup
	asked.Go(func() { _, _ = chromedp.Call(ctx, page.Crash, cdp.Empty{}) }) // which may not be answered
	select {
	case <-b.crashed:
	case <-time.After(patience):
		b.t.Error("the tab did not crash")
	}
	cancel()
	asked.Wait()
	b.Close()
}

// Close closes the tab.
func (b *Tab) Close() { b.stop() }

// Screenshot writes a picture of the page to the folder in RELAY_SCREENSHOTS, if that is set.
func (b *Tab) Screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("RELAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := run(b, chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil { //nolint:gosec // whoever runs the tests names the folder
		b.t.Error(err)
	}
}
