package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// 10,000 events wait for a webhook, and relay is killed 100 times while it delivers them: none is lost, they arrive in order, and
// repeated deliveries have the same id.
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
	if got := len(uniqueTitles(t, ep.got())); got >= n {
		t.Fatalf("all %d events were delivered before the last kill", n)
	}
	p = w.start("--sink", "bot")
	eventually(t, func() error {
		if got := len(uniqueTitles(t, ep.got())); got < n {
			return fmt.Errorf("%d of %d events delivered", got, n)
		}
		return nil
	})
	p.stop()
	for i, got := range uniqueTitles(t, ep.got()) {
		if got != title(i) {
			t.Fatalf("event %d is %q", i, got)
		}
	}
	t.Logf("%d deliveries of %d events", len(ep.got()), n)
}

// A receiver that hangs gets no more requests at a time than its concurrency allows, and delays no other sink.
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
	// A drain does not wait for it beyond its deadline.
	p.stop()
	close(release)
	p = w.start("--sink", "hanging")
	eventually(t, func() error {
		if got := uniqueTitles(t, hanging.got()); len(got) < 500 {
			return fmt.Errorf("%d events delivered", len(got))
		}
		return nil
	})
	p.stop()
	for i, got := range uniqueTitles(t, hanging.got()) {
		if got != title(i) {
			t.Fatalf("event %d is %q", i, got)
		}
	}
}
