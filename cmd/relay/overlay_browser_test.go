package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/web/webtest"
)

// watchAlerts logs the title of each alert that an overlay page draws.
const watchAlerts = `addEventListener('DOMContentLoaded', () => {
	new MutationObserver((all) => all.forEach((m) => m.addedNodes.forEach((node) => {
		const title = node.querySelector?.('[data-field="title"]');
		if (title) console.log('shown ' + title.textContent);
	}))).observe(document.getElementById('box') ?? document.body, { childList: true });
});`

// quickOverlay are the settings of an overlay that shows each treat for a second.
func quickOverlay() overlaySettings {
	return overlaySettings{Theme: "clean", MinTime: "1s", MaxTime: "1s", MaxAge: "87600h"} // the treats of the tests have a fixed date
}

// overlays returns the overlays as relay overlay list shows them.
func (w *world) overlays() []api.Overlay {
	w.t.Helper()
	var all []api.Overlay
	for _, line := range w.relay(exit.OK, "overlay", "list", "--json").out.get() {
		var o api.Overlay
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		all = append(all, o)
	}
	return all
}

// awaitPages waits until so many pages of the only overlay are open.
func (w *world) awaitPages(n int) {
	w.t.Helper()
	eventually(w.t, func() error {
		if got := len(w.overlays()[0].Pages); got != n {
			return fmt.Errorf("%d pages are open, want %d", got, n)
		}
		return nil
	})
}

// The overlay's page shows each treat once and in order, goes on after a crash of relay, and obeys the commands.
func TestOverlayInTheBrowser(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.pages()
	w.configure(func(s *settings) { s.Overlays = map[string]overlaySettings{"main": quickOverlay()} })
	p := w.start()
	w.connected()
	address := w.relay(exit.OK, "overlay", "new", "main").out.text()
	tab := browser.Open(address, webtest.Options{Script: watchAlerts, Reduced: true})
	w.awaitPages(1)
	shows := func(from, to int) {
		t.Helper()
		var want []string
		for n := range to {
			want = append(want, title(n))
		}
		eventually(t, func() error {
			if got := shownOn(tab); len(got) < to {
				return fmt.Errorf("the page has shown %q, want %d", got, to)
			}
			return nil
		})
		if got := shownOn(tab); !slices.Equal(got, want) {
			t.Fatalf("after the treats %d to %d the page has shown %q, want %q", from, to-1, got, want)
		}
	}
	onScreen := func() string { return tab.Text(`document.body.innerText.trim()`) }

	w.live.emit(0, 5)
	w.delivered(5)               // and so they are journaled
	eventually(t, func() error { // some are shown, and others wait
		if len(shownOn(tab)) < 2 {
			return fmt.Errorf("the page has shown %q", shownOn(tab))
		}
		return nil
	})
	p.signal(syscall.SIGKILL)
	<-p.done
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	if text := onScreen(); text != "" {
		t.Errorf("without relay there is text on screen: %q", text)
	}
	p = w.start()
	w.connected()
	shows(0, 5)
	w.live.emit(5, 7)
	shows(5, 7)

	w.relay(exit.OK, "overlay", "stop")
	w.live.emit(7, 9)
	eventually(t, func() error {
		if o := w.overlays()[0]; !o.Stopped || o.Waiting < 2 || o.Showing != nil {
			return fmt.Errorf("stopped %v, waiting %d, showing %v", o.Stopped, o.Waiting, o.Showing)
		}
		return nil
	})
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	shows(5, 7)
	w.relay(exit.OK, "overlay", "start")
	shows(7, 9)

	w.configure(func(s *settings) {
		night := s.Overlays["main"]
		night.Theme = "night"
		s.Overlays["main"] = night
	})
	p.reload("configuration loaded again")
	tab.WaitFor(`document.documentElement.dataset.theme === 'night'`)

	w.relay(exit.OK, "overlay", "revoke", "main", w.overlays()[0].Keys[0].ID)
	w.awaitPages(0)
	w.live.emit(9, 10)
	w.delivered(10)
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	if text := onScreen(); text != "" {
		t.Errorf("without a key there is text on screen: %q", text)
	}
	shows(7, 9)
	p.stop()
	w.noSecrets(p)
	if u, err := url.Parse(address); err != nil || strings.Contains(p.err.text(), u.Fragment) {
		t.Errorf("the overlay's key is in the log (%v)", err)
	}
}

// relay overlay revoke takes the alert on screen off the pages of the key at once.
func TestOverlayRevokeInTheBrowser(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.pages()
	w.configure(func(s *settings) { s.Overlays = map[string]overlaySettings{"main": {MinTime: "10m", MaxTime: "10m"}} })
	p := w.start()
	w.connected()
	tab := browser.Open(w.relay(exit.OK, "overlay", "new", "main").out.text(), webtest.Options{Reduced: true})
	w.awaitPages(1)
	w.relay(exit.OK, "overlay", "test", "main", "--title", "Ramen")
	tab.WaitFor(`document.querySelector('#box [data-field="title"]')?.textContent === 'Ramen'`)
	w.relay(exit.OK, "overlay", "revoke", "main", "--all")
	tab.WaitFor(`document.getElementById('box').childElementCount === 0 && document.body.innerText.trim() === ''`)
	w.awaitPages(0)
	if showing := w.overlays()[0].Showing; showing != nil {
		t.Errorf("relay still shows %q", showing.Title)
	}
	p.stop()
}

// otherProgram serves something else at the address of the pages until stop. Its answer to each request is 200, and lets pages of all origins read
// it. requests are the methods and paths that it got; it fails the test if it gets the key.
func (w *world) otherProgram(address, key string) (requests func() []string, stop func()) {
	w.t.Helper()
	var mu sync.Mutex
	var got []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = append(got, r.Method+" "+r.URL.Path)
		mu.Unlock()
		if strings.Contains(r.Header.Get("Authorization"), key) {
			w.t.Errorf("%s %s has the key", r.Method, r.URL.Path)
		}
		out.Header().Set("Access-Control-Allow-Origin", "*")
		out.Header().Set("Access-Control-Allow-Headers", "Authorization")
		_, _ = io.WriteString(out, "<!doctype html><h1>Another program</h1>")
	}))
	err := server.Listener.Close()
	eventually(w.t, func() error {
		server.Listener, err = new(net.ListenConfig).Listen(w.t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
		return err
	})
	server.Start()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}, server.Close
}

// A file of relay overlay file waits for relay, also while another program answers at its address, and then is the page.
func TestOverlayFileInTheBrowser(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	address := w.pages()
	p := w.start()
	w.connected()
	file := w.data("overlay.html")
	w.relay(exit.OK, "overlay", "file", "main", "--output", file)
	p.stop()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	requests, stopOther := w.otherProgram(address, regexp.MustCompile(`rok_\w+`).FindString(string(text)))
	tab := browser.Open("file://"+file, webtest.Options{Reduced: true})
	tab.WaitFor(`document.readyState === 'complete'`)
	if text := tab.Text(`document.body.innerText.trim()`); text != "" {
		t.Errorf("while it waits it shows %q", text)
	}
	eventually(t, func() error {
		if got := requests(); len(got) < 5 {
			return fmt.Errorf("the other program got %q", got)
		}
		return nil
	})
	if got := tab.Text(`location.protocol + document.body.innerText.trim()`); got != "file:" {
		t.Errorf("with another program at relay's address it shows %q", got)
	}
	stopOther()
	p = w.start()
	w.awaitPages(1)
	w.relay(exit.OK, "overlay", "test", "main", "--title", "Ramen")
	tab.WaitFor(`document.querySelector('#box [data-field="title"]')?.textContent === 'Ramen'`)
	p.stop()
}

// The overlay that a simulation names on stderr shows the invented treats.
func TestOverlayOfSimulation(t *testing.T) {
	browser := webtest.Start(t)
	relay := startRelay(t, nil, "--simulate", "--sink", "stdout", "--rate", "5")
	_, address, _ := strings.Cut(relay.err.find(t, "Overlay: "), "http")
	tab := browser.Open("http"+address, webtest.Options{Script: watchAlerts, Reduced: true})
	tab.WaitFor(`document.querySelector('#box [data-field="title"]')`)
	eventually(t, func() error {
		for _, title := range shownOn(tab) {
			if !slices.ContainsFunc(events(t, relay.out.get()), func(e pipeline.Event) bool { return e.Data.Title != nil && *e.Data.Title == title }) {
				return fmt.Errorf("%q was not sent", title)
			}
		}
		if len(shownOn(tab)) < 2 {
			return fmt.Errorf("shown: %q", shownOn(tab))
		}
		return nil
	})
	relay.stop()
}

// The custom theme of docs/overlay.md shows all texts of an alert, and its animations run.
func TestDocumentedOverlayTheme(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.pages()
	w.configure(func(s *settings) {
		s.Overlays = map[string]overlaySettings{"main": {Theme: "custom", MinTime: "10m", MaxTime: "10m"}}
	})
	folder := w.data(datadir.OverlaysDir, "main")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"html", "css"} {
		block := markedBlock(t, "docs/overlay.md", "custom."+language)
		if err := os.WriteFile(filepath.Join(folder, "custom."+language), []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start()
	w.connected()
	const watch = `addEventListener('animationstart', (e) => { if (e.target.matches('.alert')) console.log(e.target.dataset.state + ': ' + e.animationName); });`
	tab := browser.Open(w.relay(exit.OK, "overlay", "new", "main").out.text(), webtest.Options{Script: watch})
	w.awaitPages(1)
	w.relay(exit.OK, "overlay", "test", "main", "--sender", "Bo", "--title", "Ramen", "--message", "Enjoy!")
	tab.WaitFor(`document.querySelector('#box .card')`)
	if got := strings.Join(strings.Fields(tab.Text(`document.querySelector('#box .card').innerText`)), " "); got != "🍜 Bo ordered Ramen Enjoy!" {
		t.Errorf("the alert says %q", got)
	}
	if got := tab.Text(`getComputedStyle(document.querySelector('#box .alert')).animationName`); got != "enter" {
		t.Errorf("the animation is %q", got)
	}
	w.relay(exit.OK, "overlay", "skip", "main")
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	if got := strings.Join(tab.Console(), ", "); got != "in: enter, out: leave" {
		t.Errorf("the animations were %q", got)
	}
	p.stop()
}

// scene stands for a game behind the overlay.
const scene = `document.documentElement.style.background = 'radial-gradient(circle at 74% 30%, #ffd9a0 0 4%, transparent 4.2%), ' +
	'linear-gradient(#5b7fc4, #f0b58a 52%, #2f4a34 52.2%, #16261b)'`

// Each theme shows an alert as in the pictures of README.md and docs/overlay.md, which this test makes: make screenshots.
func TestOverlayScreenshots(t *testing.T) {
	browser := webtest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.pages()
	w.configure(func(s *settings) { s.Overlays = map[string]overlaySettings{"main": {MinTime: "10m", MaxTime: "10m"}} })
	p := w.start()
	w.connected()
	address := w.relay(exit.OK, "overlay", "new", "main").out.text()
	for _, theme := range []string{"clean", "pop", "night"} {
		page := strings.Replace(address, "#", "?volume=0&layout=5,8,90,84&theme="+theme+"#", 1)
		tab := browser.Open(page, webtest.Options{Width: 960, Height: 540, Reduced: true})
		var set string
		tab.Eval(scene, &set)
		w.awaitPages(1)
		w.relay(exit.OK, "overlay", "test", "main", "--sender", "PixelPanda", "--title", "Large Pepperoni Pizza", "--message", "Great run tonight! Dinner is on me 🎉")
		tab.WaitFor(`document.querySelector('#box .alert[data-state="in"]') && document.getAnimations().every((a) => a.playState !== 'running')`)
		for field, want := range map[string]string{"sender": "PixelPanda", "title": "Large Pepperoni Pizza", "message": "Great run tonight! Dinner is on me 🎉"} {
			if got := tab.Text(`document.querySelector('#box [data-field="` + field + `"]').textContent`); got != want {
				t.Errorf("%s: the %s is %q, want %q", theme, field, got, want)
			}
		}
		tab.Screenshot("overlay-" + theme)
		w.relay(exit.OK, "overlay", "skip", "main")
		tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
		tab.Close()
		w.awaitPages(0)
	}
	p.stop()
}
