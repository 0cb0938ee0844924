package socket_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

// stripper is a reverse proxy that takes the headers of an upgrade away, as proxies do that do not know WebSocket.
type stripper struct {
	url     string
	pass    atomic.Bool // let upgrades through
	forward http.HandlerFunc

	mu       sync.Mutex
	requests []*http.Request
}

func newStripper(t *testing.T, target string) *stripper {
	t.Helper()
	at, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	x := &stripper{}
	through := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(at) },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	x.forward = through.ServeHTTP
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		x.requests = append(x.requests, r.Clone(r.Context())) // its headers will change
		x.mu.Unlock()
		if !x.pass.Load() {
			r.Header.Del("Upgrade")
			r.Header.Del("Connection")
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	x.url = front.URL
	return x
}

// seen returns the requests that match.
func (s *stripper) seen(match func(*http.Request) bool) (found []*http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if match(r) {
			found = append(found, r)
		}
	}
	return found
}

func byWebSocket(r *http.Request) bool { return r.URL.Query().Get("transport") == "websocket" }

// TestPollingPeers has servers of every version behind a proxy that does not pass upgrades on.
func TestPollingPeers(t *testing.T) {
	type treat struct {
		N     int    `json:"n"`
		Title string `json:"title"`
	}
	eachPeer(t, func(t *testing.T, p *peer, speak socket.Protocol) {
		x := newStripper(t, p.url)
		r := start(t, socket.Config{URL: x.url, Dial: socket.Dialing{UserAgent: "relay/test"}, UpgradeAfter: time.Hour}, nil)
		s := r.phase(socket.Connected, 1)
		if s.Protocol != speak || s.Transport != socket.Polling || s.Err == nil ||
			!strings.Contains(s.Err.Error(), "instead of 101 Switching Protocols: a proxy between here and the server does not pass WebSocket upgrades on") {
			t.Errorf("connected by %s, Engine.IO %v, since %v", s.Transport, s.Protocol, s.Err)
		}
		var want []treat
		for n, title := range []string{"Tea", "é ü ñ", "Ã©", "你好", "🍕 \u2028 \"quoted\" \\ \x1e ,[{", strings.Repeat("é🍕", 20_000)} {
			want = append(want, treat{n, title})
		}
		for n := len(want); n < 300; n++ {
			want = append(want, treat{n, "Pie é"})
		}
		p.do(command{"cmd": "emit", "event": "realTimeTreat", "payloads": want})
		for n, ev := range r.received(len(want)) {
			if got := arg[treat](t, ev); got != want[n] {
				t.Fatalf("event %d is %.200v, want %.200v", n, got, want[n])
			}
		}
		p.do(command{"cmd": "binary", "event": "bytes", "base64": []string{"AAECBA==", "//79"}})
		p.do(command{"cmd": "emit", "event": "skipped", "args": []string{strings.Repeat("x", 1_500_000)}})
		p.do(command{"cmd": "emit", "event": "after", "args": []string{"é"}})
		events := r.received(len(want) + 2)[len(want):]
		if got := arg[[]byte](t, events[0]); string(got) != "\x00\x01\x02\x04" || len(events[0].Args) != 2 {
			t.Errorf("got %s", events[0].Args)
		}
		if got := arg[string](t, events[1]); got != "é" || events[1].Name != "after" {
			t.Errorf("got %s %q", events[1].Name, got)
		}
		p.do(command{"cmd": "ask", "event": "question"}) // it waits for the acknowledgement
		if a := p.report(); a.Connected != 1 {
			t.Errorf("connected %d times", a.Connected)
		}

		for n, cmd := range []string{"close", "disconnect"} {
			p.do(command{"cmd": cmd})
			r.phase(socket.Waiting, n+1)
			if s := r.phase(socket.Connected, n+2); s.Transport != socket.Polling || s.Err == nil {
				t.Errorf("after %s connected by %s, %v", cmd, s.Transport, s.Err)
			}
			p.do(command{"cmd": "emit", "event": "late"})
			r.received(len(want) + 4 + n)
		}
		if got := len(x.seen(byWebSocket)); got != 1 {
			t.Errorf("WebSocket was tried %d times, want once", got)
		}
		if others := x.seen(func(r *http.Request) bool { return r.UserAgent() != "relay/test" }); len(others) > 0 {
			t.Errorf("User-Agent %q", others[0].UserAgent())
		}
		if log := r.logged(); strings.Contains(log, "token-") || strings.Contains(r.history(), "token-") || strings.Count(log, "uses HTTP long-polling") != 1 {
			t.Errorf("log:\n%s", log)
		}
		r.stop()
		if err := r.wait(); err != nil {
			t.Error(err)
		}
		for limit := time.Now().Add(patience); p.report().Connections > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("the session is still open")
			}
		}
	})
}

// TestPollingUpgrades sends without a break while the proxy begins to pass upgrades on.
func TestPollingUpgrades(t *testing.T) {
	const count = 3000
	eachPeer(t, func(t *testing.T, p *peer, speak socket.Protocol) {
		x := newStripper(t, p.url)
		r := start(t, socket.Config{URL: x.url, UpgradeAfter: 200 * time.Millisecond}, nil)
		r.phase(socket.Connected, 1)
		emitted := make(chan struct{})
		go func() {
			defer close(emitted)
			p.do(command{"cmd": "emit", "event": "treat", "times": count, "each": 1, "args": []string{"$n"}})
		}()
		r.received(100)
		x.pass.Store(true)
		if s := r.phase(socket.Connected, 2); s.Transport != socket.WebSocket || s.Protocol != speak || !s.Upgraded {
			t.Errorf("connected by %s, Engine.IO %v", s.Transport, s.Protocol)
		}
		<-emitted
		for n, ev := range r.received(count) {
			if got := arg[int](t, ev); got != n+1 {
				t.Fatalf("event %d is number %d", n+1, got)
			}
		}
		polls := len(x.seen(func(*http.Request) bool { return true }))
		p.do(command{"cmd": "ask", "event": "question"})
		p.do(command{"cmd": "emit", "event": "after"})
		r.received(count + 2)
		if got := len(x.seen(func(*http.Request) bool { return true })); got != polls {
			t.Error("it polls on")
		}
		if a := p.report(); a.Connected != 1 {
			t.Errorf("connected %d times", a.Connected)
		}
		if !strings.Contains(r.logged(), "uses it from now on") {
			t.Errorf("log:\n%s", r.logged())
		}
		p.do(command{"cmd": "drop"})
		if s := r.phase(socket.Connected, 3); s.Transport != socket.WebSocket || s.Upgraded {
			t.Errorf("after the end connected by %s", s.Transport)
		}
	})
}

// TestPollingHeartbeats keeps sessions for many heartbeats, before and after an upgrade.
func TestPollingHeartbeats(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		x := newStripper(t, p.url)
		r := start(t, socket.Config{URL: x.url, UpgradeAfter: 100 * time.Millisecond}, nil)
		r.phase(socket.Connected, 1)
		beats := func(more int) {
			t.Helper()
			want := p.report().Heartbeats + more
			for limit := time.Now().Add(patience); p.report().Heartbeats < want; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("%d heartbeats within %v", p.report().Heartbeats, patience)
				}
			}
		}
		beats(6)
		x.pass.Store(true)
		r.phase(socket.Connected, 2)
		beats(6)
		p.do(command{"cmd": "emit", "event": "alive"})
		r.received(1)
		if a := p.report(); a.Connected != 1 {
			t.Errorf("connected %d times, want once", a.Connected)
		}
	}, "--ping-interval", "500", "--ping-timeout", "4000")
}

// TestPollingSlowHandler fills the buffer for longer than the server would wait for a heartbeat, in the middle of an answer.
func TestPollingSlowHandler(t *testing.T) {
	const count = 400
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		x := newStripper(t, p.url)
		var handled atomic.Int32
		r := start(t, socket.Config{URL: x.url, BufferBytes: 64 << 10, UpgradeAfter: time.Hour}, func(context.Context, socket.Event) error {
			if handled.Add(1) == 1 {
				time.Sleep(6 * time.Second)
			}
			return nil
		})
		r.phase(socket.Connected, 1)
		p.do(command{"cmd": "emit", "event": "big", "times": count, "args": []any{"$n", strings.Repeat("x", 32<<10)}})
		for n, ev := range r.received(count) {
			if got := arg[int](t, ev); got != n+1 {
				t.Fatalf("event %d is number %d", n+1, got)
			}
		}
		p.do(command{"cmd": "emit", "event": "after"})
		r.received(count + 1)
		if a := p.report(); a.Connected != 1 {
			t.Errorf("connected %d times: a full buffer looked like a dead server", a.Connected)
		}
	}, "--ping-interval", "1000", "--ping-timeout", "3000")
}

// TestPollingSingleUse is the server that takes each token once.
func TestPollingSingleUse(t *testing.T) {
	p := startPeer(t, "--version", "2", "--single-use")
	x := newStripper(t, p.url)
	r := start(t, socket.Config{URL: x.url}, nil)
	r.phase(socket.Connected, 1)
	p.do(command{"cmd": "close"})
	r.phase(socket.Connected, 2)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked != 3 { // by WebSocket, by polling, and again
		t.Errorf("%d tokens were asked for, want 3", r.asked)
	}
}

func TestPollingRejects(t *testing.T) {
	p := startPeer(t, "--version", "4", "--reject", "no entry")
	x := newStripper(t, p.url)
	r := start(t, socket.Config{URL: x.url}, nil)
	if s := r.phase(socket.Waiting, 1); s.Err == nil || s.Err.Error() != `connect: the server refused: "no entry"` {
		t.Errorf("error %v", s.Err)
	}
}
