package socket_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

// kinds are the servers every check is made against.
var kinds = []struct {
	name  string
	args  []string
	speak socket.Protocol
	dials int // that it takes to find out
}{
	{"socket.io-1", []string{"--version", "1"}, socket.EIO3, 1},
	{"socket.io-2", []string{"--version", "2"}, socket.EIO3, 1},
	{"socket.io-4", []string{"--version", "4"}, socket.EIO4, 2},
	{"socket.io-4-eio3", []string{"--version", "4", "--allow-eio3"}, socket.EIO3, 1},
}

// eachPeer runs a check against every kind of server.
func eachPeer(t *testing.T, check func(t *testing.T, p *peer, speak socket.Protocol), args ...string) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			check(t, startPeer(t, append(slices.Clone(kind.args), args...)...), kind.speak)
		})
	}
}

func TestPeerOrderAndUnicode(t *testing.T) {
	type treat struct {
		N     int    `json:"n"`
		Title string `json:"title"`
	}
	eachPeer(t, func(t *testing.T, p *peer, speak socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		if s := r.phase(socket.Connected, 1); s.Protocol != speak {
			t.Errorf("protocol %v, want %v", s.Protocol, speak)
		}
		var want []treat
		for n := range 600 {
			want = append(want, treat{n, fmt.Sprintf("🍕 %d \u2028 \"quoted\" \\ é 你好 \u0000 ,[{", n)})
		}
		p.do(command{"cmd": "emit", "event": "realTimeTreat", "payloads": want})
		for n, ev := range r.received(len(want)) {
			if got := arg[treat](t, ev); got != want[n] || ev.Name != "realTimeTreat" || ev.Namespace != "/" {
				t.Fatalf("event %d is %s %s %+v", n, ev.Namespace, ev.Name, got)
			}
		}
		if a := p.report(); a.Connections != 1 || a.Connected != 1 {
			t.Errorf("the server sees %d connections and fired connection %d times, want 1 and 1", a.Connections, a.Connected)
		}
	})
}

func TestPeerHeartbeats(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		r.phase(socket.Connected, 1)
		for limit := time.Now().Add(patience); p.report().Heartbeats < 6; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%d heartbeats within %v", p.report().Heartbeats, patience)
			}
		}
		p.do(command{"cmd": "emit", "event": "alive"})
		r.received(1)
		if a := p.report(); a.Connected != 1 {
			t.Errorf("connected %d times, want once", a.Connected)
		}
	}, "--ping-interval", "500", "--ping-timeout", "1000")
}

func TestPeerKilled(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		r.phase(socket.Connected, 1)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if s := r.phase(socket.Waiting, 1); s.Err == nil {
			t.Error("lost for no reason")
		}
	})
}

func TestPeerRejects(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		s := r.phase(socket.Waiting, 1)
		var rejected *socket.RejectedError
		if !errors.As(s.Err, &rejected) || rejected.Message != "no entry\u00a0for you" || rejected.Namespace != "/" {
			t.Errorf("error %v", s.Err)
		}
		if strings.Contains(r.history(), "connected") {
			t.Errorf("states %s", r.history())
		}
	}, "--reject", "no entry\u00a0for you")
}

// TestPeerSingleUse is the server that a replayed token never gets into: TreatStream's.
func TestPeerSingleUse(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, append(slices.Clone(kind.args), "--single-use")...)
			r := start(t, socket.Config{URL: p.url}, nil)
			r.phase(socket.Connected, 1)
			p.do(command{"cmd": "drop"})
			r.phase(socket.Connected, 2)
			p.do(command{"cmd": "close"})
			r.phase(socket.Connected, 3)
			p.do(command{"cmd": "disconnect"})
			r.phase(socket.Connected, 4)
			if a := p.report(); a.Connections != 1 || a.Connected != 4 {
				t.Errorf("the server sees %+v", a)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if want := 4 + kind.dials - 1; r.asked != want {
				t.Errorf("%d tokens were asked for, want %d: one a dial, and the revision remembered", r.asked, want)
			}
			if log := r.log.String(); strings.Contains(log, "token-") || strings.Count(log, `"connected"`) != 4 ||
				strings.Count(log, "connection lost") != 3 || strings.Count(log, "\n") != 7 {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestPeerSlowAuthorization(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, speak socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		if s := r.phase(socket.Connected, 1); s.Protocol != speak {
			t.Errorf("protocol %v, want %v", s.Protocol, speak)
		}
		if strings.Contains(r.history(), "waiting") {
			t.Errorf("states %s", r.history())
		}
	}, "--auth-delay", "1200", "--ping-interval", "300", "--ping-timeout", "600")
}

func TestPeerBinary(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		r.phase(socket.Connected, 1)
		p.do(command{"cmd": "binary", "event": "bytes", "base64": []string{"AAECBA==", "//79"}})
		p.do(command{"cmd": "emit", "event": "text", "args": []string{"after"}})
		events := r.received(2)
		if got := arg[[]byte](t, events[0]); string(got) != "\x00\x01\x02\x04" || len(events[0].Args) != 2 {
			t.Errorf("got %s", events[0].Args)
		}
		if got := arg[string](t, events[1]); got != "after" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPeerNamespaces(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url, Namespaces: []string{"/x", "/y"}}, nil)
		r.phase(socket.Connected, 1)
		for _, nsp := range []string{"/", "/x", "/y"} {
			p.do(command{"cmd": "emit", "event": "hello", "args": []string{nsp}, "namespace": nsp})
		}
		for _, ev := range r.received(3) {
			if got := arg[string](t, ev); got != ev.Namespace {
				t.Errorf("an event of %s came from %s", got, ev.Namespace)
			}
		}
		if a := p.report(); a.Connected != 1 {
			t.Errorf(`"/" was joined %d times`, a.Connected)
		}
	}, "--namespace", "/x", "--namespace", "/y")
}

// TestPeerUnknownNamespace is a refusal after "/" was joined.
func TestPeerUnknownNamespace(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url, Namespaces: []string{"/nowhere"}}, nil)
		var rejected *socket.RejectedError
		if s := r.phase(socket.Waiting, 1); !errors.As(s.Err, &rejected) || rejected.Namespace != "/nowhere" {
			t.Errorf("error %v", s.Err)
		}
	})
}

func TestPeerTLS(t *testing.T) {
	key, cert, roots := certificate(t)
	eachPeer(t, func(t *testing.T, p *peer, speak socket.Protocol) {
		trusting := start(t, socket.Config{URL: p.url, Dial: socket.Dialing{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, nil)
		if s := trusting.phase(socket.Connected, 1); s.Protocol != speak {
			t.Errorf("protocol %v, want %v", s.Protocol, speak)
		}
		p.do(command{"cmd": "emit", "event": "secure"})
		trusting.received(1)
		doubting := start(t, socket.Config{URL: p.url}, nil)
		if s := doubting.phase(socket.Waiting, 1); s.Err == nil || !strings.Contains(s.Err.Error(), "certificate") {
			t.Errorf("error %v", s.Err)
		}
	}, "--tls-key", key, "--tls-cert", cert)
}

// TestPeerSlowHandler fills the buffer for longer than the server would wait for a heartbeat.
func TestPeerSlowHandler(t *testing.T) {
	const count = 400
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		var handled atomic.Int32
		r := start(t, socket.Config{URL: p.url, BufferBytes: 64 << 10}, func(context.Context, socket.Event) error {
			if handled.Add(1) == 1 {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		r.phase(socket.Connected, 1)
		p.do(command{
			"cmd": "emit", "event": "big", "times": count,
			"args": []any{"$n", strings.Repeat("x", 32<<10)}, // 12 MB: more than the sockets' buffers hold
		})
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
		r.until("the warning and its end", func() bool {
			log := r.log.String()
			return strings.Count(log, "handler is slow") == 1 && strings.Count(log, "caught up") == 1
		})
	}, "--ping-interval", "500", "--ping-timeout", "1000")
}

// TestPeerDrain ends the context while events wait.
func TestPeerDrain(t *testing.T) {
	const count = 50
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		gate := make(chan struct{})
		r := start(t, socket.Config{URL: p.url}, func(ctx context.Context, _ socket.Event) error {
			<-gate
			return ctx.Err()
		})
		r.phase(socket.Connected, 1)
		p.do(command{"cmd": "emit", "event": "treat", "times": count})
		r.received(1)
		time.Sleep(200 * time.Millisecond) // for the rest to arrive
		r.stop()
		for limit := time.Now().Add(patience); p.report().Connections > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("the connection is still open")
			}
		}
		close(gate)
		if err := r.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := len(r.received(1)); got != count {
			t.Errorf("%d events were handed over, want %d", got, count)
		}
	})
}
