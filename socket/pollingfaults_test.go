package socket_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

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
		"asked to wait":   {answer(503, "", "Retry-After", "3600"), "a poll was answered with HTTP 503; it asked clients to wait until"},
		"a page":          {answer(200, "<html>"), "the answer is not an Engine.IO payload"},
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
	const switching = "HTTP/1.1 101 Switching Protocols\r\n"
	for name, breakIt := range map[string]func(net.Conn, *http.Request){
		"closed":            func(net.Conn, *http.Request) {},
		"no reply":          func(conn net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, conn) },
		"headers taken out": func(conn net.Conn, _ *http.Request) { _, _ = io.WriteString(conn, switching+"\r\n") },
		"closed after 101": func(conn net.Conn, r *http.Request) {
			sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			_, _ = io.WriteString(conn, switching+"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
				base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
		},
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
				breakIt(conn, r)
			})
			r := start(t, socket.Config{URL: front, Dial: socket.Dialing{HandshakeTimeout: time.Second, PollAtOnce: name == "no reply"}}, nil)
			if s := r.phase(socket.Connected, 1); s.Transport != socket.Polling || s.Err == nil {
				t.Errorf("connected by %s, %v", s.Transport, s.Err)
			}
			if answer := strings.Contains(r.phase(socket.Connected, 1).Err.Error(), "does not pass WebSocket upgrades on"); answer != (name == "headers taken out") {
				t.Errorf("error %v", r.phase(socket.Connected, 1).Err)
			}
			if waited := strings.Contains(r.history(), "waiting"); waited != (name != "no reply") {
				t.Errorf("states %s", r.history())
			}
			p.do(command{"cmd": "emit", "event": "hello"})
			r.received(1)
		})
	}
}
