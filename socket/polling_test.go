package socket_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
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
		x.requests = append(x.requests, r)
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
func (x *stripper) seen(match func(*http.Request) bool) (found []*http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.requests {
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
		r := start(t, socket.Config{URL: x.url, UserAgent: "relay/test", UpgradeAfter: time.Hour}, nil)
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
		if log := r.logged(); strings.Contains(log, "token-") || strings.Contains(r.history(), "token-") || strings.Count(log, "goes by HTTP long-polling") != 1 {
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
		if !strings.Contains(r.logged(), "goes by it from now on") {
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

// script is a server of Engine.IO 3 that only polls.
type script struct {
	polls chan string                                       // the answers to come
	fail  func(w http.ResponseWriter, r *http.Request) bool // instead, if it returns true
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case q.Get("transport") == "websocket":
		w.WriteHeader(http.StatusUpgradeRequired)
	case s.fail != nil && s.fail(w, r):
	case q.Get("sid") == "":
		http.SetCookie(w, &http.Cookie{Name: "node", Value: "a 7"})
		_, _ = io.WriteString(w, fmt.Sprintf("%d:%s2:40", len(opening), opening))
	case r.Method == http.MethodPost:
		_, _ = io.WriteString(w, "ok")
	default:
		select {
		case answer := <-s.polls:
			_, _ = io.WriteString(w, answer)
		case <-r.Context().Done():
		}
	}
}

// TestPollingFaults has what can go wrong with a poll.
func TestPollingFaults(t *testing.T) {
	answer := func(status int, body string, header ...string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("sid") == "" || r.Method != http.MethodGet {
				return false
			}
			for n := 0; n < len(header); n += 2 {
				w.Header().Set(header[n], header[n+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, test := range map[string]struct {
		fail func(w http.ResponseWriter, r *http.Request) bool
		err  string
	}{
		"unknown session": {answer(400, `{"code":1,"message":"Session ID unknown"}`), `the server ended the session: HTTP 400 ("Session ID unknown")`},
		"gateway":         {answer(504, "<html>token-1"), "a poll was answered with HTTP 504"},
		"asked to wait":   {answer(503, "", "Retry-After", "3600"), "a poll was answered with HTTP 503; it asked to be left alone until"},
		"a page":          {answer(200, "<html>"), "the answer is no Engine.IO payload"},
		"nothing":         {answer(200, ""), "a poll was answered with nothing"},
		"cut":             {answer(200, "9:42[", "Content-Length", "100"), "the server ended the connection"},
		"too large":       {answer(200, "20000000:4"+strings.Repeat("x", 17<<20)), "the server sent a message of more than 16777216 bytes"},
		"a switch":        {answer(101, ""), "a poll was answered with HTTP 101"},
		"closed":          {answer(200, "1:1"), "the server ended the connection"},
		"garbled":         {answer(200, "8:42[\"\xff\"]"), "not UTF-8"},
		"a post fails": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusBadGateway)
			}
			return r.Method == http.MethodPost
		}, "a post was answered with HTTP 502"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{polls: make(chan string), fail: test.fail}
			r := start(t, socket.Config{URL: serveHTTP(t, s.ServeHTTP)}, nil)
			got := r.phase(socket.Waiting, 1)
			if got.Err == nil || !strings.Contains(got.Err.Error(), test.err) || strings.Contains(got.Err.Error()+r.logged(), "token-") {
				t.Errorf("error %v, want %s", got.Err, test.err)
			}
			if name == "asked to wait" && got.RetryIn < 50*time.Minute {
				t.Errorf("tries again in %v", got.RetryIn)
			}
		})
	}
}

// TestPollingSticks looks at what the requests of a session carry.
func TestPollingSticks(t *testing.T) {
	s := &script{polls: make(chan string, 1)}
	var mu sync.Mutex
	var cookies, caches []string
	r := start(t, socket.Config{URL: serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("sid") != "" {
			mu.Lock()
			cookies, caches = append(cookies, r.Method+" "+r.Header.Get("Cookie")), append(caches, q.Get("t"))
			mu.Unlock()
			if q.Get("token") == "" || q.Get("EIO") != "3" || q.Get("sid") != "s1" {
				t.Errorf("query %s", r.URL.RawQuery)
			}
		}
		s.ServeHTTP(w, r)
	})}, nil)
	s.polls <- `10:42["late"]1:3`
	r.received(1)
	count := func(method string) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range cookies {
			if strings.HasPrefix(c, method) {
				n++
			}
		}
		return n
	}
	for limit := time.Now().Add(patience); count("GET") < 2 || count("POST") < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d polls, %d posts", count("GET"), count("POST"))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range cookies {
		if !strings.HasSuffix(c, ` node="a 7"`) {
			t.Errorf("cookie of a request: %s", c)
		}
	}
	slices.Sort(caches)
	if got := len(slices.Compact(caches)); got != len(cookies) {
		t.Errorf("%d requests have %d different URLs", len(cookies), got)
	}
}

// TestPollingIsNotTried has the transport not be the fault.
func TestPollingIsNotTried(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header string
		want   int // dials by polling within two attempts
	}{
		"not found":     {404, "", 0},
		"unauthorized":  {401, "", 0},
		"asked to wait": {503, "1", 0},
		"bad gateway":   {502, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var polls atomic.Int32
			r := start(t, socket.Config{URL: serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if !byWebSocket(r) {
					polls.Add(1)
				}
				w.Header().Set("Retry-After", test.header)
				w.WriteHeader(test.status)
			})}, nil)
			r.phase(socket.Waiting, 2)
			if got := int(polls.Load()); got != test.want {
				t.Errorf("%d polls, want %d", got, test.want)
			}
		})
	}
}

// TestPollingBrokenUpgrade has ways that break WebSockets without an answer in HTTP.
func TestPollingBrokenUpgrade(t *testing.T) {
	for name, breakIt := range map[string]func(net.Conn){
		"closed":   func(net.Conn) {},
		"no reply": func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, "--version", "2")
			x := newStripper(t, p.url)
			front := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if !byWebSocket(r) {
					x.forward(w, r)
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				breakIt(conn)
			})
			r := start(t, socket.Config{URL: front, HandshakeTimeout: time.Second}, nil)
			if s := r.phase(socket.Connected, 1); s.Transport != socket.Polling || s.Err == nil {
				t.Errorf("connected by %s, %v", s.Transport, s.Err)
			}
			p.do(command{"cmd": "emit", "event": "hello"})
			r.received(1)
		})
	}
}
