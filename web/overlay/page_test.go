package overlay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/web/overlay"
	"github.com/treatrelay/relay/web/webtest"
)

// site serves an overlay over a real journal, as relay does.
type site struct {
	*world
	stage   *overlay.Stage
	key     string
	address string
	browser *webtest.Browser

	server *http.Server
	served sync.WaitGroup

	mu      sync.Mutex
	granted map[uint64]int           // how many pages were let start a turn
	offers  map[uint64]overlay.Alert // by turn
}

// csp is the policy of the page: docs and the handler of relay have the same.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; font-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// newSite starts a server and a browser.
func newSite(t *testing.T, changes ...func(*overlay.Settings)) *site {
	t.Helper()
	t.Parallel() // most of the time they wait
	s := &site{browser: webtest.Start(t), world: newWorld(t, t.TempDir()), granted: map[uint64]int{}, offers: map[uint64]overlay.Alert{}}
	t.Cleanup(func() {
		s.shut()
		s.stop()
		if err := s.stack.Close(); err != nil {
			t.Error(err)
		}
	})
	s.stage = s.run(changes...)
	key, _, err := s.stage.NewKey(t.Context(), "")
	must(t, err)
	s.key = key.Reveal()
	s.serve()
	return s
}

// serve starts the server, with short limits for ordinary requests. It has the same address each time.
func (s *site) serve() {
	s.t.Helper()
	if s.address == "" {
		s.address = "127.0.0.1:0"
	}
	var listener net.Listener
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if listener, err = new(net.ListenConfig).Listen(s.t.Context(), "tcp", s.address); err == nil {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s.handler(), ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second}
	s.served.Go(func() { _ = s.server.Serve(listener) })
}

// shut stops the server at once, as a crash of relay does.
func (s *site) shut() {
	if s.server != nil {
		_ = s.server.Close()
		s.served.Wait()
		s.server = nil
	}
}

func (s *site) handler() http.Handler {
	assets := http.FileServerFS(os.DirFS("../assets"))
	api := s.record(overlay.Handler(s.stages))
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", assets))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /overlay/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", csp)
		http.ServeFile(w, r, "../assets/overlay/index.html")
	})
	mux.HandleFunc("/api/v1/overlays/{name}/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions { // for the local file
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		overlayName, _, ok := s.stages.Check(strings.TrimSpace(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer")))
		if preview := r.URL.Query().Get("preview") == "1"; !preview && (!ok || overlayName != r.PathValue("name")) {
			problem.Send(w, http.StatusUnauthorized, problem.New(http.StatusUnauthorized, "wrong-key", "a key is missing", ""))
			return
		}
		api.ServeHTTP(w, r)
	})
	return mux
}

// record notes which turns pages were let start.
func (s *site) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(answer, r)
		var report overlay.Report
		if json.Unmarshal(body, &report) == nil && report.State == overlay.StateStarted && answer.status == http.StatusNoContent {
			s.mu.Lock()
			s.granted[report.Turn]++
			s.mu.Unlock()
		}
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// observe notes the alert of each turn, as a preview that does not count.
func (s *site) observe() {
	s.t.Helper()
	v := s.open(s.stage, overlay.PageRequest{ID: "observer", Preview: true}, func(_ *viewer, shown showing) {
		s.mu.Lock()
		s.offers[shown.Turn] = shown.Alert
		s.mu.Unlock()
	})
	s.t.Cleanup(v.close)
}

// url is that of the page; query may be empty.
func (s *site) url(query string) string {
	return fmt.Sprintf("http://%s/overlay/%s?%s#%s", s.address, name, query, s.key)
}

// page opens the overlay page in a new tab, and waits until it is connected.
func (s *site) page(query string, o webtest.Options) *webtest.Tab {
	s.t.Helper()
	before := len(s.stage.State().Pages)
	tab := s.browser.Open(s.url(query), o)
	s.until("the page connects", func() bool { return len(s.stage.State().Pages) > before })
	return tab
}

// until waits for a condition.
func (s *site) until(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within a minute: %s; state: %+v", what, s.stage.State())
		}
	}
}

// wantGrantedOnce fails unless every treat is in exactly one turn that pages were let start.
func (s *site) wantGrantedOnce() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	covered := map[uint64]int{}
	at := map[uint64]int{}
	for i, number := range s.puts {
		at[number] = i
	}
	for turn := range s.granted {
		alert, ok := s.offers[turn]
		if !ok {
			s.t.Fatalf("turn %d was started, but never offered", turn)
		}
		for i := range alert.More + 1 {
			covered[s.puts[at[alert.Number]+i]]++
		}
	}
	for _, number := range s.puts {
		if covered[number] != 1 {
			s.t.Fatalf("treat %d is in %d alerts that were started, want 1", number, covered[number])
		}
	}
}

// watchDraws makes a page write the title of each alert that it draws to the console.
const watchDraws = `;addEventListener('DOMContentLoaded', () => {
	new MutationObserver((all) => all.forEach((m) => m.addedNodes.forEach((node) => {
		const title = node.querySelector?.('[data-field="title"]');
		if (title) console.log('drawn ' + title.textContent);
	}))).observe(document.getElementById('box') ?? document.body, { childList: true });
});`

// draws returns the titles of the alerts that tabs have drawn.
func draws(tabs ...*webtest.Tab) (titles []string) {
	for _, tab := range tabs {
		for _, line := range tab.Console() {
			if title, ok := strings.CutPrefix(line, "drawn "); ok {
				titles = append(titles, title)
			}
		}
	}
	return titles
}

// lasting alerts stay until they are skipped.
func lasting(c *overlay.Settings) { c.MinTime, c.MaxTime = time.Minute, time.Minute }

// drawn waits until a page has drawn an alert.
func (s *site) drawn(tab *webtest.Tab, title string) {
	s.t.Helper()
	s.until("the page draws "+title, func() bool { return slices.Contains(draws(tab), title) })
}

// field is an expression for the text of a field of the alert on screen, or null.
func field(name string) string {
	return fmt.Sprintf(`(document.querySelector('#box [data-field="%s"]')?.textContent ?? null)`, name)
}

func TestPageShowsAnAlert(t *testing.T) {
	s := newSite(t, lasting)
	tab := s.page("", webtest.Options{Script: watchDraws})
	if shown := tab.Text("document.body.innerText.trim()"); shown != "" {
		t.Errorf("an idle page shows %q", shown)
	}
	if color := tab.Text("getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor"); color != strings.Repeat("rgba(0, 0, 0, 0)", 2) {
		t.Errorf("the background is %s", color)
	}
	s.put(1, 0)
	tab.WaitFor(field("title") + ` === "t000001"`)
	if got := tab.Text(field("sender")); got != "s" {
		t.Errorf("the sender is %q", got)
	}
	s.until("the alert is shown", func() bool { return s.stage.State().Showing != nil })
	must(t, s.stage.Skip(context.Background()))
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	must(t, s.stages.Replace(t.Context(), map[string]overlay.Settings{name: settings(t, quiet)})) // a second, and it leaves
	must(t, s.stage.Test(overlay.Text{Title: "Pizza", Message: "hi"}))
	s.drawn(tab, "Pizza")
	tab.WaitFor(`document.getElementById('box').childElementCount === 0`)
	s.until("the alert has ended", func() bool { return s.stage.State().Showing == nil })
	for _, line := range tab.Console() {
		if !strings.HasPrefix(line, "drawn ") {
			t.Errorf("console: %s", line)
		}
	}
}
