package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// endpoint is a receiver whose answers the test decides.
type endpoint struct {
	server *httptest.Server

	mu    sync.Mutex
	calls []call
	under int
	most  int // requests at a time
}

type call struct{ id, title string }

func newEndpoint(t *testing.T, answer func(rw http.ResponseWriter, req *http.Request, e pipeline.Event)) *endpoint {
	t.Helper()
	ep := &endpoint{}
	ep.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // relay was killed in the middle
		}
		var e pipeline.Event
		if err := json.Unmarshal(body, &e); err != nil || e.ID != req.Header.Get("webhook-id") {
			t.Errorf("webhook-id %q with the body %q (%v)", req.Header.Get("webhook-id"), body, err)
			return
		}
		c := call{id: e.ID}
		if e.Data.Title != nil {
			c.title = *e.Data.Title
		}
		ep.mu.Lock()
		ep.calls = append(ep.calls, c)
		ep.under++
		ep.most = max(ep.most, ep.under)
		ep.mu.Unlock()
		answer(rw, req, e)
		ep.mu.Lock()
		ep.under--
		ep.mu.Unlock()
	}))
	t.Cleanup(ep.server.Close)
	return ep
}

func (ep *endpoint) got() []call {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return append([]call(nil), ep.calls...)
}

// firsts checks that no title came with two ids, and returns the titles without repeats.
func firsts(t *testing.T, calls []call) (titles []string) {
	t.Helper()
	ids := make(map[string]string)
	for _, c := range calls {
		id, again := ids[c.title]
		if again && id != c.id {
			t.Errorf("%s came as %s and as %s", c.title, id, c.id)
		}
		if !again {
			titles = append(titles, c.title)
		}
		ids[c.title] = c.id
	}
	return titles
}

// 10,000 events wait for a webhook, and relay is killed 100 times while it delivers them: none is lost, they come in order, and
// what comes twice has one id.
func TestKillWhileDelivering(t *testing.T) {
	const n, kills = 10_000, 100
	w := newWorld(t, simulatedRealtime)
	w.login()
	ep := newEndpoint(t, func(http.ResponseWriter, *http.Request, pipeline.Event) { time.Sleep(time.Millisecond) })

	// A first run, in which the receiver is away, takes them in.
	hold := make(chan struct{})
	away := newEndpoint(t, func(rw http.ResponseWriter, req *http.Request, _ pipeline.Event) {
		select {
		case <-hold:
		case <-req.Context().Done():
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
	})
	w.configure(func(s *settings) { s.Sinks["bot"].URL = away.server.URL })
	p := w.start("--sink", "bot", "--sink", "overlay")
	w.connected()
	overlay := w.overlay()
	w.live.emit(0, n)
	holds(t, "NATS", overlay, 0, n) // so all is journaled
	p.signal(syscall.SIGKILL)
	p.exit()
	close(hold)
	w.configure(func(s *settings) { s.Sinks["bot"].URL = ep.server.URL })

	random := rand.New(rand.NewPCG(1, 2))
	for range kills {
		before := len(ep.got())
		p := w.start("--sink", "bot")
		eventually(t, func() error {
			if len(ep.got()) == before {
				return fmt.Errorf("nothing more is delivered:\n%s", p.err.text())
			}
			return nil
		})
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		p.signal(syscall.SIGKILL)
		p.exit()
	}
	if got := len(firsts(t, ep.got())); got >= n {
		t.Fatalf("all %d events were delivered before the last kill", n)
	}
	p = w.start("--sink", "bot")
	eventually(t, func() error {
		if got := len(firsts(t, ep.got())); got < n {
			return fmt.Errorf("%d of %d events delivered", got, n)
		}
		return nil
	})
	p.stop()
	for i, got := range firsts(t, ep.got()) {
		if got != title(i) {
			t.Fatalf("event %d is %q", i, got)
		}
	}
	t.Logf("%d deliveries of %d events", len(ep.got()), n)
}

// A receiver that hangs is sent no more at a time than it may be, and holds up nobody else.
func TestHangingReceiver(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	release := make(chan struct{})
	hanging := newEndpoint(t, func(_ http.ResponseWriter, req *http.Request, _ pipeline.Event) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	sink := webhookTo(hanging.server.URL)
	sink.Concurrency, sink.Timeout = 1, "5m"
	w.addSink("hanging", sink)
	p := w.start()
	w.connected()
	overlay := w.overlay()
	w.live.emit(0, 500)
	for name, sink := range map[string]*lines{"stdout": p.out, "NATS": overlay, "the webhook": w.bot.lines} {
		holds(t, name, sink, 0, 500)
	}
	hanging.mu.Lock()
	calls, most := len(hanging.calls), hanging.most
	hanging.mu.Unlock()
	if calls != 1 || most != 1 {
		t.Errorf("%d requests, %d at a time, to the receiver that hangs; want 1", calls, most)
	}
	// Told to stop, relay does not wait for it longer than it has time to.
	p.stop()
	close(release)
	p = w.start("--sink", "hanging")
	eventually(t, func() error {
		if got := firsts(t, hanging.got()); len(got) < 500 {
			return fmt.Errorf("%d events delivered", len(got))
		}
		return nil
	})
	p.stop()
	for i, got := range firsts(t, hanging.got()) {
		if got != title(i) {
			t.Fatalf("event %d is %q", i, got)
		}
	}
}
