package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/simulator"
)

// A historyProxy stands in front of the provider's history. It gives a fixed answer, or the treats of one channel.
type historyProxy struct {
	world   *world
	mu      sync.Mutex
	channel string
	answer  http.HandlerFunc // nil: the treats of the channel
	asked   int
}

// historyProxy makes relay read the history through a proxy.
func (w *world) historyProxy(channel string, answer http.HandlerFunc) *historyProxy {
	w.t.Helper()
	d := &historyProxy{world: w, channel: channel, answer: answer}
	server := httptest.NewServer(d)
	w.t.Cleanup(server.Close)
	w.configure(func(s *settings) {
		s.account().Endpoints.History = server.URL + "/v2/{access_token}/treats?key={access_token}"
	})
	return d
}

// ServeHTTP implements [http.Handler].
func (h *historyProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if token := r.URL.Query().Get("key"); token == "" || r.URL.Path != "/v2/"+token+"/treats" {
		h.world.t.Errorf("asked for another place than the configured one")
	}
	if h.answer != nil {
		h.answer(w, r)
		return
	}
	treats := slices.DeleteFunc(h.world.sim.Emitted(), func(t simulator.Treat) bool { return t.Receiver != h.channel })
	slices.Reverse(treats)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(treats)
}

func (h *historyProxy) set(channel string, answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.channel, h.answer, h.asked = channel, answer, 0
}

// wasAsked waits for a request.
func (h *historyProxy) wasAsked() {
	h.world.t.Helper()
	eventually(h.world.t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.asked == 0 {
			return fmt.Errorf("the history was not asked for")
		}
		return nil
	})
}

// answersWith gives the same answer to every request.
func answersWith(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // the client may be gone
	}
}

// Treats sent after the login and before the first readable history arrive, whatever the history answers first. Treats from before the login do not.
func TestTreatsOfANewAccountArrive(t *testing.T) {
	for name, first := range map[string]http.HandlerFunc{
		"HTTP 500":    answersWith(http.StatusInternalServerError, "no"),
		"HTTP 404":    answersWith(http.StatusNotFound, "no"),
		"HTTP 204":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"null":        answersWith(http.StatusOK, `null`),
		"data null":   answersWith(http.StatusOK, `{"data":null}`),
		"data object": answersWith(http.StatusOK, `{"data":{}}`),
		"a message":   answersWith(http.StatusOK, `{"message":"No treats found"}`),
		"no success":  answersWith(http.StatusOK, `{"success":false}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			d := w.historyProxy("me", first)
			w.sendsTo("me", 90, 99, 48*time.Hour)
			w.login()
			w.sendsTo("me", 0, 3, 0) // nobody is connected
			p := w.start("--sink", "console")
			w.connected()
			d.wasAsked()
			p.stop()
			w.sendsTo("me", 3, 6, 0)
			d.set("me", nil)
			p2 := w.start("--sink", "console")
			w.connected()
			holds(t, "stdout", p2.out, 0, 6)
			p2.stop()
			if out := p.out.get(); len(out) > 0 {
				t.Errorf("before the history could be read: %q", out)
			}
			w.noSecrets(p)
			w.noSecrets(p2)
		})
	}
}

// A realtime server that is down at the first start costs no treat.
func TestFirstStartWithoutASocket(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.historyProxy("me", nil)
	w.sendsTo("me", 90, 99, 48*time.Hour)
	w.login()
	restore := w.configure(func(s *settings) { s.account().Endpoints.Socket = fmt.Sprintf("http://127.0.0.1:%d/", freePort(t)) })
	p := w.start("--sink", "console")
	p.err.find(t, "account is new")
	p.stop()
	w.sendsTo("me", 0, 5, 0)
	restore()
	p = w.start("--sink", "console")
	w.connected()
	holds(t, "stdout", p.out, 0, 5)
	p.stop()
}

// A login with the wrong channel, then with the right one, while relay runs or after a logout: the other channel's history is not delivered, and
// treats sent since the login are.
func TestLoginAsAnotherChannelWhileRelayRuns(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	d := w.historyProxy("wrong", nil)
	w.sendsTo("wrong", 80, 85, 48*time.Hour)
	w.sendsTo("right", 50, 79, 50*time.Hour)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.err.find(t, "first comparison with the history")

	d.set("right", nil)
	w.login()
	p.err.find(t, "connects again with the new login")
	eventually(t, func() error {
		if n := strings.Count(p.err.text(), "first comparison with the history"); n != 2 {
			return fmt.Errorf("%d baselines, want 2", n)
		}
		return nil
	})
	w.connected()
	w.sendsTo("right", 0, 5, 0)
	holds(t, "stdout", p.out, 0, 5)
	p.stop()

	w.sendsTo("right", 5, 8, 0)
	w.relay(exit.OK, "auth", "logout", "mystream")
	d.set("wrong", nil)
	w.login()
	if _, stderr, code := w.command("", "reconcile", "mystream"); code != exit.OK || !strings.Contains(stderr, "0 were missing") {
		t.Errorf("back to the first channel: exit code %d\n%s", code, stderr)
	}
	w.relay(exit.OK, "auth", "logout", "mystream")
	d.set("right", nil)
	w.login()
	p = w.start("--sink", "console")
	w.connected()
	holds(t, "stdout", p.out, 5, 8)
	p.stop()
	w.noSecrets(p)
}
