package chat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/discord"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/slack"
)

// pipes is a listener and a dialer without a network, so that time can stand still between them.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inChat runs a test in a bubble, with a chat sink that talks to a real HTTP server.
func inChat(t *testing.T, typ string, handler http.HandlerFunc, test func(*testing.T, pipeline.Sink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			handler(w, r)
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(p) })
		c, err := openIn(t, typ, p)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		_ = c.Close()
		_ = server.Close()
		serving.Wait()
	})
}

func openIn(t *testing.T, typ string, p *pipes) (pipeline.Sink, error) {
	t.Helper()
	env := chat.Env{UserAgent: "relay/test", Dial: p.dial}
	path := map[string]string{"discord": "/api/v10/webhooks/1/planted-token", "slack": "/services/planted-token"}[typ]
	u := secret.New("http://127.0.0.1:8350" + path)
	switch c := sinks.NewConfig(typ).(type) {
	case *slack.Config:
		c.URL = u
		return c.Open(t.Context(), env)
	case *discord.Config:
		c.URL = u
		return c.Open(t.Context(), env)
	}
	return nil, errors.New("no chat")
}

// resetMargin is how long a discord sink waits beyond the reset of a bucket.
const resetMargin = 10 * time.Millisecond

func treat(i int) []pipeline.Record {
	line := fmt.Sprintf(`{"id":"trt_%d","origin":"live","time":"2026-07-16T21:00:00Z","data":{"title":"Pizza"}}`, i)
	return []pipeline.Record{{ID: fmt.Sprintf("trt_%d", i), Type: pipeline.EventType, Line: []byte(line)}}
}

// verdict names what an error asks of the lane.
func verdict(err error) string {
	after, wait := pipeline.RetryDelay(err)
	var what string
	switch {
	case err == nil:
		return "accepted"
	case pipeline.IsPermanent(err):
		what = "permanent"
	case pipeline.IsGone(err):
		what = "gone"
	case pipeline.IsUnavailable(err):
		what = "unavailable"
	default:
		what = "retry"
	}
	if wait {
		what += " for " + after.String()
	}
	return what
}

// TestDiscordKeepsOutOfAnEmptyBucket checks that the sink waits before the request that would be refused, and before no
// other.
func TestDiscordKeepsOutOfAnEmptyBucket(t *testing.T) {
	var at []time.Time
	handler := func(w http.ResponseWriter, _ *http.Request) {
		at = append(at, time.Now())
		w.Header().Set("X-RateLimit-Remaining", fmt.Sprint(2-(len(at)-1)%3))
		w.Header().Set("X-RateLimit-Reset-After", "1.5")
	}
	inChat(t, "discord", handler, func(t *testing.T, c pipeline.Sink) {
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 9 { // as nine accounts would
			all.Go(func() {
				if n, err := c.Deliver(t.Context(), treat(i)); n != 1 || err != nil {
					t.Errorf("Deliver: %d, %v", n, err)
				}
			})
		}
		all.Wait()
		for i, when := range at {
			want := time.Duration(i/3) * (1500*time.Millisecond + resetMargin)
			if got := when.Sub(begin); got != want {
				t.Errorf("request %d came after %v, want %v", i, got, want)
			}
		}
	})
}

// TestDiscordCountsWhatGotNoAnswer lets a request time out that may have used the last place in the bucket.
func TestDiscordCountsWhatGotNoAnswer(t *testing.T) {
	var at []time.Time
	handler := func(w http.ResponseWriter, r *http.Request) {
		at = append(at, time.Now())
		if len(at) == 2 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-RateLimit-Remaining", "1")
		w.Header().Set("X-RateLimit-Reset-After", "40")
	}
	inChat(t, "discord", handler, func(t *testing.T, c pipeline.Sink) {
		begin := time.Now()
		for i, want := range []string{"accepted", "unavailable", "accepted"} {
			_, err := c.Deliver(t.Context(), treat(i))
			if got := verdict(err); got != want {
				t.Errorf("delivery %d: %s, want %s: %v", i, got, want, err)
			}
		}
		if got := at[2].Sub(begin); got != 40*time.Second+resetMargin {
			t.Errorf("the third request came after %v, want the reset of the bucket", got)
		}
	})
}

// TestChatPauses wants a refusal's delay kept by every delivery, whatever the lane does: a short one by waiting, a long one
// by an error.
func TestChatPauses(t *testing.T) {
	const limited = `{"message":"You are being rate limited.","retry_after":%s,"global":%v}`
	for _, c := range []struct {
		name    string
		service string
		status  int
		header  string
		body    string
		want    string
		text    string
	}{
		{"fraction", "discord", 429, "", fmt.Sprintf(limited, "0.75", false), "unavailable for 750ms", "of this webhook"},
		{"header is longer", "discord", 429, "Retry-After: 2", fmt.Sprintf(limited, "1.2", false), "unavailable for 2s", ""},
		{"body is longer", "discord", 429, "Retry-After: 1", fmt.Sprintf(limited, "1.25", false), "unavailable for 1.25s", ""},
		{"global", "discord", 429, "Retry-After: 65", fmt.Sprintf(limited, "64.57", true), "unavailable for 1m5s", "from this address"},
		{"shared", "discord", 429, "X-RateLimit-Scope: shared", fmt.Sprintf(limited, "1336.57", false), "unavailable for 22m16.57s", "of the channel"},
		{"page", "discord", 429, "Retry-After: 3600", "<html>banned", "unavailable for 1h0m0s", ""},
		{"absurd", "discord", 429, "", fmt.Sprintf(limited, "1e300", false), "unavailable for 24h0m0s", ""},
		{"negative", "discord", 429, "", fmt.Sprintf(limited, "-5", false), "unavailable", ""},
		{"forbidden", "discord", 403, "", `{"message":"Missing Permissions"}`, "unavailable for 10m0s", "Missing Permissions"},
		{"slack", "slack", 429, "Retry-After: 30", "rate_limited", "unavailable for 30s", "rate_limited"},
		{"slack forbids", "slack", 403, "", "action_prohibited", "unavailable for 10m0s", "action_prohibited"},
		{"outage", "slack", 503, "Retry-After: 7", "", "unavailable for 7s", "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var at []time.Time
			handler := func(w http.ResponseWriter, _ *http.Request) {
				if at = append(at, time.Now()); len(at) > 1 {
					return
				}
				if name, value, ok := strings.Cut(c.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}
			inChat(t, c.service, handler, func(t *testing.T, sink pipeline.Sink) {
				_, err := sink.Deliver(t.Context(), treat(0))
				if got := verdict(err); got != c.want || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%s, want %s: %v", got, c.want, err)
				}
				wait, _ := pipeline.RetryDelay(err)
				if wait > 30*time.Second {
					time.Sleep(10 * time.Second)
					_, err := sink.Deliver(t.Context(), treat(1))
					if left, _ := pipeline.RetryDelay(err); left != wait-10*time.Second || !pipeline.IsUnavailable(err) || len(at) != 1 {
						t.Errorf("after ten seconds: %v, and %d requests", err, len(at))
					}
					time.Sleep(wait - 10*time.Second)
				}
				if n, err := sink.Deliver(t.Context(), treat(2)); n != 1 || err != nil {
					t.Errorf("Deliver: %d, %v", n, err)
				}
				if got := at[1].Sub(at[0]); got < wait {
					t.Errorf("the second request came after %v, want %v", got, wait)
				}
			})
		})
	}
}

// TestChatGone has several accounts deliver to a webhook that is no more, which hears of one of them only, until somebody
// delivers again.
func TestChatGone(t *testing.T) {
	requests := 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"Unknown Webhook","code":10015}`)
		}
	}
	inChat(t, "discord", handler, func(t *testing.T, c pipeline.Sink) {
		for round := 1; round <= 2; round++ {
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					n, err := c.Deliver(t.Context(), treat(i))
					if n != 0 || verdict(err) != "gone" || !strings.Contains(err.Error(), "Unknown Webhook") {
						t.Errorf("Deliver: %d, %v", n, err)
					}
				})
			}
			all.Wait()
			if requests != round {
				t.Fatalf("%d requests, want %d", requests, round)
			}
		}
		if n, err := c.Deliver(t.Context(), treat(9)); n != 1 || err != nil {
			t.Errorf("Deliver after somebody made the webhook again: %d, %v", n, err)
		}
	})
}

// TestChatLeaves checks that a delivery that waits, for the limit or for its turn, ends with its context.
func TestChatLeaves(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset-After", "20")
	}
	inChat(t, "discord", handler, func(t *testing.T, c pipeline.Sink) {
		if _, err := c.Deliver(t.Context(), treat(0)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the operator wants to go home")
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				if n, err := c.Deliver(ctx, treat(i)); n != 0 || !errors.Is(err, gone) {
					t.Errorf("Deliver: %d, %v", n, err)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		cancel(gone)
		all.Wait()
		if took := time.Since(begin); took != 0 {
			t.Errorf("Deliver went on for %v", took)
		}
	})
}
