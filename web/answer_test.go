package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/tmaxmax/go-sse"

	"github.com/treatrelay/relay/web/session"
)

// deadline is how long a test waits for something that must happen.
const deadline = time.Minute

// ticker is an API whose every answer is a stream of Server-Sent Events, sent as the local API does.
func ticker(every time.Duration, ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events, err := sse.Upgrade(w, r)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; err == nil; n++ {
			m := &sse.Message{ID: sse.ID(strconv.Itoa(n))}
			m.AppendData("{}")
			if err = events.Send(m); err == nil {
				err = events.Flush()
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				err = errors.Join(err, context.Cause(r.Context()))
			}
		}
		ended <- err
	})
}

// stream opens a stream of events, and returns its lines until it ends.
func (s *site) stream(senders ...who) (lines *bufio.Reader, cut func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), deadline)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, set := range senders {
		set(r)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("status %d", res.StatusCode)
	}
	return bufio.NewReader(res.Body), func() {
		cancel()
		_ = res.Body.Close()
	}
}

// The timeouts of the server, which bound a request, do not end a stream; nothing of it is held back.
func TestStreamOutlivesTheTimeouts(t *testing.T) {
	for protocol, encrypted := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var c *Certificate
			if encrypted {
				certFile, keyFile := writePair(t, t.TempDir(), 1)
				var err error
				if c, err = LoadCertificate(certFile, keyFile, zerolog.Nop()); err != nil {
					t.Fatal(err)
				}
			}
			cfg, ended := config(t), make(chan error, 1)
			cfg.API = ticker(100*time.Millisecond, ended)
			s := serveTLS(t, cfg, c) // with timeouts of a second
			if got := s.do(http.MethodGet, "/", ""); got.Proto != protocol {
				t.Fatalf("the protocol is %s", got.Proto)
			}
			lines, cut := s.stream(withKey(keyOfMain))
			for n := range 25 {
				want := fmt.Sprintf("id: %d\n", n)
				for line := ""; line != want; {
					var err error
					if line, err = lines.ReadString('\n'); err != nil {
						t.Fatalf("event %d: %v", n, err)
					}
				}
			}
			cut()
			if err := await(t, ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
}

func await(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(deadline):
		t.Fatal("the stream did not end")
		return nil
	}
}

// A stream ends soon after the right to it does.
func TestStreamEndsWithTheRightToIt(t *testing.T) {
	for name, end := range map[string]func(*site, string){
		"the key is revoked":  func(s *site, _ string) { s.keys.revoke(keyOfMain) },
		"logged out":          func(s *site, token string) { s.do(http.MethodDelete, "/session", "", withCookie(token)) },
		"all sessions ended":  func(s *site, _ string) { s.sessions.EndAll() },
		"the key was changed": func(s *site, _ string) { s.keys.change(keyOfMain, Overlay{Name: "main", Account: "alice"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, ended := config(t), make(chan error, 1)
			cfg.API = ticker(50*time.Millisecond, ended)
			s := serve(t, cfg)
			token, as := "", withKey(keyOfMain)
			if !strings.Contains(name, "key") {
				opened, _, err := s.sessions.UseLink(netip.Addr{}, s.sessions.NewLink(session.Owner).Reveal())
				if err != nil {
					t.Fatal(err)
				}
				token = opened.Reveal()
				as = withCookie(token)
			}
			lines, cut := s.stream(as)
			defer cut()
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			end(s, token)
			if err := await(t, ended); !errors.Is(err, errEnded) {
				t.Errorf("the stream ended with %v, want errEnded", err)
			}
			if _, err := io.Copy(io.Discard, lines); err != nil {
				t.Errorf("the reader sees %v, want the end", err)
			}
		})
	}
}

func (k *keys) change(key string, o Overlay) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[key] = o
}

// A reader that takes nothing is dropped, and holds no more than what its connection buffers.
func TestReaderThatTakesNothing(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, end := context.WithCancelCause(r.Context())
		defer end(nil)
		a, piece := newAnswer(w, 100*time.Millisecond, func() bool { return true }, end), make([]byte, 64<<10)
		var err error
		for err == nil {
			_, err = a.Write(piece)
		}
		ended <- err
	}))
	defer server.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ended); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the answer ended with %v", err)
	}
}

// What a thousand readers of events cost in memory and goroutines, with their connections and the server's end of them.
func BenchmarkReaders(b *testing.B) {
	const readers = 1000
	cfg := config(b)
	next := make(chan struct{})
	var mu sync.Mutex
	broadcast := func() {
		mu.Lock()
		defer mu.Unlock()
		close(next)
		next = make(chan struct{})
	}
	current := func() <-chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		return next
	}
	cfg.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		for {
			wake := current()
			if _, err := io.WriteString(w, "data: {}\n\n"); err != nil || control.Flush() != nil {
				return
			}
			select {
			case <-wake:
			case <-r.Context().Done():
				return
			}
		}
	})
	s := serve(b, cfg)
	before := memory()
	conns := make([]net.Conn, readers)
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", keyOfMain); err != nil {
			b.Fatal(err)
		}
		conns[i] = conn
	}
	read(b, conns)
	after, goroutines := memory(), runtime.NumGoroutine()
	for b.Loop() { // one event to all readers
		broadcast()
		read(b, conns)
	}
	b.ReportMetric(float64(after-before)/readers, "B/reader")
	b.ReportMetric(float64(goroutines)/readers, "goroutines/reader")
}

// read reads from each connection until an event is there.
func read(b *testing.B, conns []net.Conn) {
	b.Helper()
	var buf [4096]byte
	for i, conn := range conns {
		for text := ""; !strings.Contains(text, "data: {}\n\n"); {
			n, err := conn.Read(buf[:])
			if err != nil {
				b.Fatalf("reader %d: %v", i, err)
			}
			text += string(buf[:n])
		}
	}
}

// memory is what the heap and the stacks take.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
