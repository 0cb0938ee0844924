package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A tally counts the events that a sink receives, and measures the latency of each.
type tally struct {
	mu        sync.Mutex
	want      int
	ids       map[string]struct{}
	twice     int
	first     time.Time
	last      time.Time
	latencies []time.Duration
	done      chan struct{} // closed when all wanted events have arrived
	before    *tally        // gets the first events, until it is complete; nil: none
}

func newTally(want int) *tally {
	return &tally{want: want, ids: make(map[string]struct{}, want), latencies: make([]time.Duration, 0, want), done: make(chan struct{})}
}

// take counts an event. It finds the id, and the time in the message, without decoding the event.
func (t *tally) take(event []byte) { t.takeAt("", event) }

// takeAt counts an event at one of several sinks, each of which should receive it once.
func (t *tally) takeAt(place string, event []byte) {
	now := time.Now()
	id := after(event, `"id":"`, '"')
	message := after(event, `"message":"`, '"')
	_, rest, _ := bytes.Cut(message, []byte(" "))
	stamp, _, _ := bytes.Cut(rest, []byte(" "))
	sent, err := strconv.ParseInt(string(stamp), 10, 64)
	if len(id) == 0 || err != nil {
		return // not from the emitter
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil {
		select {
		case <-t.before.done:
		default:
			t.before.takeAt(place, event)
			return
		}
	}
	key := place + string(id)
	if _, known := t.ids[key]; known {
		t.twice++
		return
	}
	t.ids[key] = struct{}{}
	if t.first.IsZero() {
		t.first = now
	}
	t.last = now
	t.latencies = append(t.latencies, now.Sub(time.UnixMicro(sent)))
	if len(t.ids) == t.want {
		close(t.done)
	}
}

func after(text []byte, key string, end byte) []byte {
	at := bytes.Index(text, []byte(key))
	if at < 0 {
		return nil
	}
	value, _, found := bytes.Cut(text[at+len(key):], []byte{end})
	if !found {
		return nil
	}
	return value
}

// wait waits until all events have arrived.
func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		return fmt.Errorf("wait for %d events: %w; %d have arrived", t.want, context.Cause(ctx), len(t.ids))
	}
}

// rate returns the events per second, from the first to the last.
func (t *tally) rate() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(len(t.ids)-1) / t.last.Sub(t.first).Seconds()
}

// quantiles returns quantiles of the latencies; 1 is the maximum.
func (t *tally) quantiles(of ...float64) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	sorted := slices.Sorted(slices.Values(t.latencies))
	all := make([]time.Duration, len(of))
	for i, q := range of {
		all[i] = sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
	}
	return all
}

// fromNATS counts the messages on treats.> until ctx ends.
func (t *tally) fromNATS(ctx context.Context, url string, options ...nats.Option) error {
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return fmt.Errorf("subscribe at %s: %w", url, err)
	}
	context.AfterFunc(ctx, nc.Close)
	sub, err := nc.Subscribe("treats.>", func(m *nats.Msg) { t.take(m.Data) })
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = nc.Flush()
	}
	return err
}

// pipe returns a file for a process to write its lines to. They are counted until it is closed.
func (t *tally) pipe() (*os.File, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.take(lines.Bytes())
		}
		_ = out.Close()
	}()
	return in, nil
}

// A receiver is an HTTP server that counts the events it receives. Each path is another sink.
type receiver struct {
	http.Server
	url     string
	hang    chan struct{} // closed when it ends
	mu      sync.Mutex
	tallies map[string]*tally // by path
}

func newReceiver(ctx context.Context) (*receiver, error) {
	r := &receiver{tallies: make(map[string]*tally), hang: make(chan struct{})}
	r.Handler = r
	var err error
	r.url, err = serve(ctx, &r.Server, "127.0.0.1")
	return r, err
}

// at returns the URL of a path whose events t counts.
func (r *receiver) at(path string, t *tally) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tallies[path] = t
	return r.url + path
}

// hangingPath is a path that never answers.
const hangingPath = "/hanging"

// ServeHTTP implements [http.Handler].
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	if req.URL.Path == hangingPath {
		select {
		case <-req.Context().Done():
		case <-r.hang:
		}
		return
	}
	r.mu.Lock()
	t := r.tallies[req.URL.Path]
	r.mu.Unlock()
	if t != nil {
		t.takeAt(req.URL.Path, body)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) stop() {
	close(r.hang)
	_ = r.Close()
}
