package socket

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// The tests of this file run on the clock of a synctest bubble, with a server at the other end of a pipe.

// pipes is a network of one server: a listener, and the dialer that reaches it.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble runs a Client within a bubble, against a server that follows the script, and stops both after act.
func bubble(t *testing.T, cfg Config, script func(ctx context.Context, ws *websocket.Conn), act func(states func() []State)) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		var serving sync.WaitGroup
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			serving.Add(1)
			defer serving.Done()
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			defer func() { _ = ws.CloseNow() }()
			script(r.Context(), ws)
		})}
		serving.Go(func() { _ = server.Serve(network) })

		var mu sync.Mutex
		var states []State
		cfg.URL = "http://server"
		cfg.Log = zerolog.New(t.Output())
		cfg.OnState = func(s State) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s)
		}
		client, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		client.dialer = network.dial
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := client.Run(ctx, func(context.Context, Event) error { return nil }); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
		act(func() []State {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return append([]State(nil), states...)
		})
		stop()
		running.Wait()
		_ = server.Close()
		serving.Wait()
	})
}

func send(ctx context.Context, ws *websocket.Conn, frames ...string) {
	for _, frame := range frames {
		_ = ws.Write(ctx, websocket.MessageText, []byte(frame))
	}
}

const opening = `0{"sid":"s1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`

// pong answers so many pings, then falls silent until the client goes.
func pong(ctx context.Context, ws *websocket.Conn, times int) {
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return
		}
		if string(data) == "2" && times > 0 {
			times--
			send(ctx, ws, "3")
		}
	}
}

// count returns how many states are of a phase, and the last of them.
func count(states []State, p Phase) (n int, last State) {
	for _, s := range states {
		if s.Phase == p {
			n, last = n+1, s
		}
	}
	return n, last
}

func TestBackoffSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		var waits []time.Duration
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		client, err := New(Config{
			URL: "http://server",
			Query: func(context.Context) (url.Values, error) {
				asked = append(asked, time.Now())
				if len(asked) == 500 {
					stop()
				}
				return nil, errors.New("not today")
			},
			OnState: func(s State) {
				if s.Phase == Waiting {
					waits = append(waits, s.RetryIn)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Run(ctx, nil); err != nil {
			t.Fatalf("Run = %v", err)
		}
		if len(asked) != 500 { // hours of it: it never gives up
			t.Fatalf("%d attempts", len(asked))
		}
		ceiling, total := time.Second, time.Duration(0)
		for i, wait := range waits {
			if gap := asked[i+1].Sub(asked[i]); gap != wait {
				t.Errorf("wait %d: %v, said %v", i, gap, wait)
			}
			if wait < 0 || wait > ceiling {
				t.Errorf("wait %d: %v, want at most %v", i, wait, ceiling)
			}
			if i >= 10 {
				total += wait
			}
			ceiling = min(2*ceiling, 60*time.Second)
		}
		if mean := total / time.Duration(len(waits)-10); mean < 25*time.Second || mean > 35*time.Second {
			t.Errorf("the waits are %v in the middle, want about 30 s: full jitter up to a minute", mean)
		}
	})
}

// TestStableConnectionForgetsFailures drops connections before and after their first minute.
func TestStableConnectionForgetsFailures(t *testing.T) {
	for lasts, forgets := range map[time.Duration]bool{10 * time.Second: false, 20 * time.Second: true} {
		bubble(t, Config{}, func(ctx context.Context, ws *websocket.Conn) {
			ctx, cancel := context.WithTimeout(ctx, lasts)
			defer cancel()
			send(ctx, ws, opening, "40")
			pong(ctx, ws, 1000)
		}, func(states func() []State) {
			time.Sleep(3 * time.Hour)
			var longest time.Duration
			for _, s := range states() {
				longest = max(longest, s.RetryIn)
			}
			if forgets != (longest <= time.Second) {
				t.Errorf("connections of %v: the longest wait was %v", lasts, longest)
			}
		})
	}
}

func TestHeartbeats(t *testing.T) {
	ping := func(ctx context.Context, ws *websocket.Conn) {
		for {
			send(ctx, ws, "2")
			if _, data, err := ws.Read(ctx); err != nil || string(data) != "3" {
				return
			}
			time.Sleep(25 * time.Second)
		}
	}
	for name, test := range map[string]struct {
		protocol Protocol
		script   func(ctx context.Context, ws *websocket.Conn)
		after    time.Duration
		lost     time.Duration // since the beginning; zero: never
	}{
		"3 beats": {EIO3, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening, "40")
			pong(ctx, ws, 1<<30)
		}, time.Hour, 0},
		"3 falls silent": {EIO3, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening, "40")
			pong(ctx, ws, 3) // the last at 40 s
		}, 100 * time.Second, 85 * time.Second},
		"3 never answers": {EIO3, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening, "40")
			pong(ctx, ws, 0)
		}, 50 * time.Second, 45 * time.Second},
		"4 beats": {EIO4, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening)
			_, _, _ = ws.Read(ctx)
			send(ctx, ws, `40{"sid":"a"}`)
			ping(ctx, ws)
		}, time.Hour, 0},
		"4 falls silent": {EIO4, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening)
			_, _, _ = ws.Read(ctx)
			send(ctx, ws, `40{"sid":"a"}`)
			pong(ctx, ws, 0)
		}, 50 * time.Second, 45 * time.Second},
		"authorization never ends": {EIO3, func(ctx context.Context, ws *websocket.Conn) {
			send(ctx, ws, opening)
			pong(ctx, ws, 1<<30)
		}, 70 * time.Second, 60 * time.Second},
		"no handshake": {EIO3, func(ctx context.Context, ws *websocket.Conn) {
			pong(ctx, ws, 0)
		}, 11 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Protocol: test.protocol}
			if test.protocol == EIO4 {
				cfg.Keepalive = -1 // a pipe has no room for both sides to write at once
			}
			bubble(t, cfg, test.script, func(states func() []State) {
				begun := time.Now()
				time.Sleep(test.after)
				n, _ := count(states(), Waiting)
				if (n > 0) != (test.lost > 0) {
					t.Fatalf("lost %d times within %v: %v", n, test.after, states())
				}
				for _, s := range states() {
					if s.Phase == Waiting {
						if took := s.Since.Sub(begun); took != test.lost {
							t.Errorf("lost after %v, want %v: %v", took, test.lost, s.Err)
						}
						break
					}
				}
			})
		})
	}
}

// TestMuteServer takes the connection and says nothing at all.
func TestMuteServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		begun := time.Now()
		client, err := New(Config{URL: "http://server", OnState: func(s State) {
			if s.Phase == Waiting {
				if took := s.Since.Sub(begun); took != DefaultHandshakeTimeout || !strings.Contains(s.Err.Error(), "no answer") {
					t.Errorf("after %v: %v", took, s.Err)
				}
				stop()
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		var kept []net.Conn
		client.dialer = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			kept = append(kept, far)
			go func() { _, _ = far.Read(make([]byte, 4096)) }()
			return near, nil
		}
		if err := client.Run(ctx, nil); err != nil {
			t.Errorf("Run = %v", err)
		}
		for _, conn := range kept {
			_ = conn.Close()
		}
	})
}

// TestReconnectsLeakNothing loses a thousand connections. That no goroutine is left of any is what a bubble demands.
func TestReconnectsLeakNothing(t *testing.T) {
	for name, frame := range map[string]string{"close": "1", "disconnect": "41"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Protocol: EIO3}, func(ctx context.Context, ws *websocket.Conn) {
				send(ctx, ws, opening, "40", frame)
				pong(ctx, ws, 0)
			}, func(states func() []State) {
				time.Sleep(10 * time.Hour)
				if n, _ := count(states(), Connected); n < 1000 {
					t.Errorf("connected %d times", n)
				}
			})
		})
	}
}

// TestSuspendedMachine makes the wall clock leap while the monotonic one stood still.
func TestSuspendedMachine(t *testing.T) {
	var p liveness
	now := time.Now()
	p.noteFrame(now.Round(0).Add(-time.Hour)) // no monotonic reading: what the wall clock said before
	if got := p.silence(now); got < time.Hour {
		t.Errorf("silence %v after an hour's sleep", got)
	}
	p.noteFrame(now.Round(0).Add(time.Hour)) // the wall clock was set back
	if got := p.silence(now); got > 0 {
		t.Errorf("silence %v", got)
	}
	p.noteFrame(now)
	p.setPaused(true)
	if got := p.silence(now.Add(time.Hour)); got != 0 {
		t.Errorf("silence %v while nobody listens", got)
	}
	p.setPaused(false)
	if got := p.silence(time.Now()); got > time.Minute {
		t.Errorf("silence %v after listening again", got)
	}
}
