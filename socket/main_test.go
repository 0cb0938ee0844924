package socket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/socket"
)

// TestMain ignores the two goroutines that importing the engine starts.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// run is a Client at work, and what it did so far.
type run struct {
	t       *testing.T
	stop    context.CancelFunc
	done    chan struct{}
	changed chan struct{} // holds a token when there is something new

	mu     sync.Mutex
	events []socket.Event
	states []socket.State
	log    strings.Builder
	asked  int
	err    error
}

// start runs a Client until the test ends. A nil Query is replaced by one that returns token-1, token-2, and so on.
func start(t *testing.T, cfg socket.Config, handle socket.Handler) *run {
	t.Helper()
	r := &run{t: t, done: make(chan struct{}), changed: make(chan struct{}, 1)}
	if cfg.Query == nil {
		cfg.Query = r.query
	}
	cfg.Log = zerolog.New(zerolog.SyncWriter(writer(func(line []byte) {
		r.note(func() { r.log.Write(line) })
	}))).Level(zerolog.InfoLevel)
	onState := cfg.OnState
	cfg.OnState = func(s socket.State) {
		if onState != nil {
			onState(s)
		}
		r.note(func() { r.states = append(r.states, s) })
	}
	client, err := socket.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		defer close(r.done)
		err := client.Run(ctx, func(ctx context.Context, ev socket.Event) error {
			r.note(func() { r.events = append(r.events, ev) })
			if handle != nil {
				return handle(ctx, ev)
			}
			return nil
		})
		r.note(func() { r.err = err })
	}()
	t.Cleanup(func() {
		stop()
		_ = r.wait()
		if t.Failed() {
			t.Logf("log of the client:\n%s", r.logged())
		}
	})
	return r
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func (r *run) query(context.Context) (url.Values, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return url.Values{"token": {fmt.Sprintf("token-%d", r.asked)}}, nil
}

func (r *run) note(change func()) {
	r.mu.Lock()
	change()
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// until waits for a condition, which is called with the lock held.
func (r *run) until(what string, condition func() bool) {
	r.t.Helper()
	limit := time.After(patience)
	for {
		r.mu.Lock()
		ok := condition()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.changed:
		case <-limit:
			r.t.Fatalf("%s: not within %v; states: %v", what, patience, r.history())
		}
	}
}

// phase waits until the client has been so often in the given phase, and returns that state.
func (r *run) phase(p socket.Phase, times int) (found socket.State) {
	r.t.Helper()
	r.until(fmt.Sprintf("%v for the %d. time", p, times), func() bool {
		n := 0
		for _, s := range r.states {
			if s.Phase == p {
				n, found = n+1, s
			}
			if n == times {
				return true
			}
		}
		return false
	})
	return found
}

// names waits for n events and returns their names.
func (r *run) names(n int) []string {
	r.t.Helper()
	var names []string
	for _, ev := range r.received(n) {
		names = append(names, ev.Name)
	}
	return names
}

// received waits for n events and returns all there are.
func (r *run) received(n int) []socket.Event {
	r.t.Helper()
	var events []socket.Event
	r.until(fmt.Sprintf("%d events", n), func() bool {
		events = slices.Clone(r.events)
		return len(events) >= n
	})
	return events
}

// wait waits for the end of Run and returns its error.
func (r *run) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Errorf("Run has not returned within %v", patience)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *run) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *run) history() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, s := range r.states {
		fmt.Fprintf(&b, "%v/%v(%v) ", s.Phase, s.Protocol, s.Err)
	}
	return b.String()
}

// arg decodes the first argument of an event.
func arg[T any](t *testing.T, ev socket.Event) (v T) {
	t.Helper()
	if len(ev.Args) == 0 {
		t.Fatalf("event %q has no argument", ev.Name)
	}
	if err := json.Unmarshal(ev.Args[0], &v); err != nil {
		t.Fatalf("argument %s: %v", ev.Args[0], err)
	}
	return v
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]socket.Config{
		"no url":         {},
		"no host":        {URL: "http://"},
		"scheme":         {URL: "ftp://host?token=hush-hush"},
		"broken":         {URL: "http://host:port?token=hush-hush"},
		"user":           {URL: "http://me:hush-hush@host"},
		"protocol":       {URL: "http://host", Protocol: 5},
		"buffer":         {URL: "http://host", BufferBytes: -1},
		"namespace":      {URL: "http://host", Namespaces: []string{"x"}},
		"namespaces":     {URL: "http://host", Namespaces: []string{"/x", "/x"}},
		"namespace list": {URL: "http://host", Namespaces: []string{"/x,/y"}},
	} {
		_, err := socket.New(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func TestPath(t *testing.T) {
	for path, want := range map[string]string{
		"": "/socket.io/", "/": "/socket.io/", "/socket.io": "/socket.io/", "/a/b/": "/a/b/", "/a%2Fb": "/a%2Fb/", "?a=b": "/socket.io/",
	} {
		seen := make(chan string, 1)
		url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case seen <- r.URL.EscapedPath():
			default:
			}
			w.WriteHeader(http.StatusNotFound)
		})
		r := start(t, socket.Config{URL: url + path}, nil)
		if got := <-seen; got != want {
			t.Errorf("%q: asked for %s, want %s", path, got, want)
		}
		r.stop()
	}
}

func TestParseProtocol(t *testing.T) {
	for text, want := range map[string]socket.Protocol{"": socket.Auto, "auto": socket.Auto, "3": socket.EIO3, "4": socket.EIO4} {
		got, err := socket.ParseProtocol(text)
		if err != nil || got != want {
			t.Errorf("ParseProtocol(%q) = %v, %v", text, got, err)
		}
		if again, err := socket.ParseProtocol(got.String()); err != nil || again != want {
			t.Errorf("ParseProtocol(%q) = %v, %v", got.String(), again, err)
		}
	}
	if _, err := socket.ParseProtocol("5"); err == nil {
		t.Error("no error for 5")
	}
}

// TestRunEnds covers the ways in which Run returns.
func TestRunEnds(t *testing.T) {
	errHandler := errors.New("handler")
	t.Run("context", func(t *testing.T) {
		r := start(t, socket.Config{URL: "http://127.0.0.1:1"}, nil)
		r.phase(socket.Waiting, 1)
		r.stop()
		if err := r.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		r.phase(socket.Stopped, 1)
	})
	t.Run("handler", func(t *testing.T) {
		url := serve(t, eio3(func(s *served) { s.send(`42["a"]`, `42["b"]`); s.idle() }))
		r := start(t, socket.Config{URL: url}, func(context.Context, socket.Event) error { return errHandler })
		if err := r.wait(); !errors.Is(err, errHandler) {
			t.Errorf("Run = %v", err)
		}
		if got := r.names(1); len(got) != 1 {
			t.Errorf("events after the error: %q", got)
		}
	})
	t.Run("drain timeout", func(t *testing.T) {
		url := serve(t, eio3(func(s *served) { s.send(`42["a"]`, `42["b"]`); s.idle() }))
		r := start(t, socket.Config{URL: url, DrainTimeout: 50 * time.Millisecond}, func(ctx context.Context, _ socket.Event) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		r.received(1)
		r.stop()
		if err := r.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := r.names(1); len(got) != 1 {
			t.Errorf("events after the timeout: %q", got)
		}
		if !strings.Contains(r.logged(), "stopped before these were handled") {
			t.Error("no word of the events that are left")
		}
	})
	t.Run("twice at once", func(t *testing.T) {
		waiting := make(chan struct{}, 1)
		client, err := socket.New(socket.Config{URL: "http://127.0.0.1:1", OnState: func(socket.State) {
			select {
			case waiting <- struct{}{}:
			default:
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var first sync.WaitGroup
		first.Go(func() { _ = client.Run(ctx, nil) })
		<-waiting
		if err := client.Run(ctx, nil); err == nil {
			t.Error("a second Run did not fail")
		}
		stop()
		first.Wait()
		if err := client.Run(ctx, nil); err != nil {
			t.Errorf("Run after Run = %v", err)
		}
	})
	t.Run("permanent", func(t *testing.T) {
		r := start(t, socket.Config{URL: "http://127.0.0.1:1", Query: func(context.Context) (url.Values, error) {
			return nil, fmt.Errorf("token: %w", permanentError{})
		}}, nil)
		if err := r.wait(); !errors.As(err, new(permanentError)) {
			t.Errorf("Run = %v", err)
		}
		if s := r.phase(socket.Stopped, 1); s.Err == nil {
			t.Error("the state Stopped carries no error")
		}
	})
}

type permanentError struct{}

func (permanentError) Error() string   { return "reauthorize" }
func (permanentError) Permanent() bool { return true }
