package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web/webtest"
)

// pages makes relay serve its pages, and returns their URL.
func (w *world) pages() string {
	w.t.Helper()
	return strings.TrimSuffix(w.onHTTP(), "/readyz")
}

// newKey makes a key of an overlay.
func (w *world) newKey(overlay string) string {
	w.t.Helper()
	page, err := url.Parse(w.relay(exit.OK, "overlay", "new", overlay).out.text())
	if err != nil || page.Fragment == "" {
		w.t.Fatalf("the address of the page has no key (%v)", err)
	}
	return page.Fragment
}

// The programs that read Server-Sent Events get every treat once and in order, across a crash of relay.
func TestExamplesOfServerSentEvents(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, relay, key string) (treats func() []string){
		"Go": func(t *testing.T, relay, key string) func() []string {
			return startProgram(t, goExample(t, "sse"), []string{"RELAY_URL=" + relay, "RELAY_KEY=" + key}).out.get
		},
		"Node": func(t *testing.T, relay, key string) func() []string {
			return startProgram(t, nodeProgram(t, "examples", "sse", "treats.mjs"), []string{"RELAY_URL=" + relay, "RELAY_KEY=" + key}).out.get
		},
		"page": pageExample,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			w.login()
			relay := w.pages()
			p := w.start()
			w.connected()
			treats := run(t, relay, w.newKey("main"))
			from := 0
			eventually(t, func() error { // a program gets what comes after it has connected
				w.live.emit(from, from+1)
				from++
				return wantTreats(treats(), 1)
			})
			first := number(t, treats()[0])
			await := func(next int) {
				t.Helper()
				w.live.emit(from, next)
				from = next
				eventually(t, func() error { return wantTreats(treats(), next-first) })
			}
			await(from + 10)
			p.signal(syscall.SIGKILL)
			<-p.done
			w.start()
			w.connected()
			await(from + 10) // before the program has connected again
			var want []string
			for n := first; n < from; n++ {
				want = append(want, "sent "+title(n))
			}
			for i, line := range treats() {
				if !strings.HasSuffix(line, want[i]) {
					t.Fatalf("line %d is %q, want %q", i, line, want[i])
				}
			}
		})
	}
}

// docs/overlay.md shows the programs as they are.
func TestDocumentedServerSentEvents(t *testing.T) {
	for _, name := range []string{"examples/sse/index.html", "examples/sse/treats.mjs", "examples/sse/main.go"} {
		if doctest.Read(t, name) != markedBlock(t, "docs/overlay.md", name) {
			t.Errorf("docs/overlay.md does not have %s as it is", name)
		}
	}
}

// pageExample opens the page in a browser, and returns the texts that it has shown.
func pageExample(t *testing.T, relay, key string) func() []string {
	browser := webtest.Start(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "sse", "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(path, []byte(replaceOnce(t, string(text), "http://127.0.0.1:8350", relay)), 0o600); err != nil {
		t.Fatal(err)
	}
	const watch = `addEventListener('DOMContentLoaded', () => {
		new MutationObserver((all) => all.forEach((m) => m.addedNodes.forEach((node) => console.log('shown ' + node.textContent))))
			.observe(document.getElementById('treat'), { childList: true });
	});`
	tab := browser.Open("file://"+path+"#"+key, webtest.Options{Script: watch})
	return func() []string { return shownOn(tab) }
}

// shownOn returns the texts that the script of a tab has logged as shown.
func shownOn(tab *webtest.Tab) (texts []string) {
	for _, line := range tab.Console() {
		if text, ok := strings.CutPrefix(line, "shown "); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// number returns the number of the treat in a line.
func number(t *testing.T, line string) (n int) {
	t.Helper()
	i := strings.LastIndex(line, "Pizza ")
	if i < 0 {
		t.Fatalf("%q names no treat", line)
	}
	if _, err := fmt.Sscanf(line[i:], "Pizza %05d", &n); err != nil {
		t.Fatalf("%q names no treat: %v", line, err)
	}
	return n
}

// wantTreats returns an error unless there are at least n lines, and no line comes twice.
func wantTreats(lines []string, n int) error {
	if unique := slices.Compact(slices.Sorted(slices.Values(lines))); len(unique) < len(lines) {
		return fmt.Errorf("a treat comes twice: %q", lines)
	}
	if len(lines) < n {
		return fmt.Errorf("%d treats, want %d", len(lines), n)
	}
	return nil
}
