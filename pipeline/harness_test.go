package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.Leaks()...) }

// rig is a journal on an embedded server, with everything it needs.
type rig struct {
	t       *testing.T
	dir     string
	server  *Server
	conn    *nats.Conn
	journal *Journal
	reg     *prometheus.Registry
	stop    func()
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	server, err := StartServer(t.Context(), ServerConfig{Dir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, server.Revive)
	r.dir, r.server = dir, server
	stop := r.stop
	r.stop = sync.OnceFunc(func() {
		stop()
		server.Close()
	})
	t.Cleanup(r.stop)
	return r
}

// rigOn opens the journal on a connection and runs its committer until the test ends.
func rigOn(t *testing.T, conn *nats.Conn, revive func() error) *rig {
	t.Helper()
	r := &rig{t: t, conn: conn, reg: prometheus.NewRegistry()}
	var err error
	r.journal, err = OpenJournal(t.Context(), JournalConfig{Conn: conn, Revive: revive, Retention: time.Hour, Log: testLog(t), Metrics: NewMetrics(r.reg)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.journal.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		r.journal.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("journal: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the journal did not end")
		}
		cancel()
		conn.Close()
	})
	t.Cleanup(r.stop)
	return r
}

// revive starts the server anew under what uses it.
func (r *rig) revive() {
	r.t.Helper()
	r.server.reviving.Lock()
	r.server.started = time.Time{} // it was not started just now
	r.server.reviving.Unlock()
	if err := r.server.Revive(); err != nil {
		r.t.Fatal(err)
	}
}

func testLog(t *testing.T) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
}

func (r *rig) intake(account string) *Intake {
	r.t.Helper()
	in := NewIntake(Normalizer{Account: account, Provider: "treatstream", Location: time.UTC}, r.journal)
	if err := in.CatchUp(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return in
}

// payload is the n-th treat of a test.
func payload(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"sender":"s","title":"t%06d","date_created":"2026-07-16 21:00:00"}`, n))
}

// send takes treats from..to-1 in.
func (r *rig) send(in *Intake, from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		if err := in.Handle(r.t.Context(), []json.RawMessage{payload(n)}, time.Now()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// count waits until the counter of that name reaches want, summed over its labels.
func (r *rig) count(name string, want float64) {
	r.t.Helper()
	r.eventually(func() error {
		if got := r.metric(name); got != want {
			return fmt.Errorf("%s = %v, want %v", name, got, want)
		}
		return nil
	})
}

// kept is how many events the journal has been given and has: one whose answer got lost is counted as refused by it.
func (r *rig) kept() int {
	r.t.Helper()
	return int(r.metric("relay_events_journaled_total") + r.metric("relay_events_duplicate_total"))
}

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	r.t.Fatal(err)
}

// journaled reads the whole journal of an account.
func (r *rig) journaled(account string) (events []Event) {
	r.t.Helper()
	err := r.journal.read(r.t.Context(), account, 0, time.Unix(0, 0), func(_ uint64, _ nats.Header, line []byte) error {
		e, err := Record{Line: line}.Event()
		events = append(events, e)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

func titles(events []Event) (titles []string) {
	for _, e := range events {
		titles = append(titles, *e.Data.Title)
	}
	return titles
}

// A box is a sink that keeps what it is given, in memory, and does as its rule says before.
type box struct {
	rule   func(ctx context.Context, r Record) error // nil: accepts all
	single bool                                      // accept one record at a time

	mu     sync.Mutex
	got    map[string][]Record
	closed int
}

func (b *box) Deliver(ctx context.Context, records []Record) (int, error) {
	for i, r := range records {
		if b.rule != nil {
			if err := b.rule(ctx, r); err != nil {
				return i, err
			}
		}
		b.mu.Lock()
		if b.got == nil {
			b.got = make(map[string][]Record)
		}
		b.got[r.Account] = append(b.got[r.Account], r)
		b.mu.Unlock()
		if b.single {
			return 1, nil
		}
	}
	return len(records), nil
}

func (b *box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

// titles of what the box has of an account, in the order of delivery.
func (b *box) titles(t *testing.T, account string) []string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []Event
	for _, r := range b.got[account] {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return titles(events)
}

func wantTitles(from, to int) (titles []string) {
	for n := from; n < to; n++ {
		titles = append(titles, fmt.Sprintf("t%06d", n))
	}
	return titles
}

// holds waits until the box has exactly these titles of the account.
func (r *rig) holds(b *box, account string, want []string) {
	r.t.Helper()
	r.eventually(func() error {
		if got := b.titles(r.t, account); !slices.Equal(got, want) {
			return fmt.Errorf("the sink has %d events of %s, want %d (first difference at %d); %s", len(got), account, len(want), firstDifference(got, want), r.lanes())
		}
		return nil
	})
}

// lane runs a lane until the test ends or stop is called, which returns what Run returned.
func (r *rig) lane(sink Sink, cfg LaneConfig) (l *Lane, stop func(drain bool) error) {
	r.t.Helper()
	cfg.Log = testLog(r.t)
	if cfg.Sink == "" {
		cfg.Sink = "box"
	}
	if cfg.Retry == (RetryPolicy{}) {
		cfg.Retry = RetryPolicy{Initial: time.Millisecond, Max: 20 * time.Millisecond}
	}
	if cfg.Probe == (ProbePolicy{}) {
		cfg.Probe = ProbePolicy{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond}
	}
	l, err := OpenLane(r.t.Context(), r.journal, sink, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func(drain bool) error {
		once.Do(func() {
			if drain {
				l.Drain()
			} else {
				cancel(errors.New("the test stops the lane"))
			}
			select {
			case result = <-done:
			case <-time.After(20 * time.Second):
				r.t.Error("the lane did not end")
			}
			cancel(nil)
		})
		return result
	}
	r.t.Cleanup(func() { _ = stop(false) })
	return l, stop
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// lanes tells how far the lanes are.
func (r *rig) lanes() (text string) {
	stream, err := r.journal.js.Stream(r.t.Context(), JournalStream)
	if err != nil {
		return err.Error()
	}
	text = fmt.Sprintf("journal at %d", stream.CachedInfo().State.LastSeq)
	for info := range stream.ListConsumers(r.t.Context()).Info() {
		text += fmt.Sprintf("; %s delivered %d, acknowledged %d, under way %d, pending %d, pulls %d",
			info.Name, info.Delivered.Stream, info.AckFloor.Stream, info.NumAckPending, info.NumPending, info.NumWaiting)
	}
	return text
}
