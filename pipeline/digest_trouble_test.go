package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natstest"
)

// heal has relay find so many treats of the account of which it was told nothing.
func (r *rig) heal(account string, n int) {
	r.t.Helper()
	begin := evening()
	p := &provider{}
	rec := r.reconciler(r.intake(account), p, ReconcileConfig{})
	r.reconcile(rec)
	for i := range n {
		p.add(gift("Ann", fmt.Sprint("Pie ", i), begin, i))
	}
	r.reconcile(rec)
}

// A digest that a sink refuses becomes a dead letter with its line, and is redriven with its id. What the sink is told of senders
// is decided when it is sent.
func TestDigestAsDeadLetter(t *testing.T) {
	r := newRig(t, t.TempDir())
	refusing := &box{rule: func(_ context.Context, record Record) error {
		if record.Type == DigestType {
			return Permanent(errors.New("400 Bad Request"))
		}
		return nil
	}}
	cfg := LaneConfig{Backfill: DigestBackfill}
	_, stop := r.lane(refusing, cfg)
	r.heal("acc", 3)
	letter := r.letters(1, DeadLetterFilter{})[0]
	if err := valid(digestSchema(t), letter.Event); err != nil || letter.Type != DigestType || letter.Account != "acc" || !strings.HasPrefix(letter.ID, "dig_") {
		t.Fatalf("%+v: %v", letter, err)
	}
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	var sink box
	cfg.Sender = HideSender
	r.lane(&sink, cfg)
	if err := r.journal.Redrive(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	d := r.digests(&sink, "acc", 1)[0]
	if d.ID != letter.ID || d.Data.Count != 3 || d.Data.Senders != 0 || len(d.Data.From) != 0 {
		t.Errorf("redriven: %+v", d)
	}
	trace, err := r.journal.Trace(t.Context(), d.ID)
	if err != nil || len(trace.Steps) != 1 || trace.Steps[0].Resent == nil || trace.Steps[0].Resent.DeadLetter != letter.Number {
		t.Errorf("trace %+v, %v", trace, err)
	}

	// The dead letter of one that did not fit beside its reason.
	if err := r.journal.Redrive(t.Context(), DeadLetter{Number: letter.Number + 1000, Sink: "box", ID: letter.ID, Seq: letter.Seq}); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if n := len(sink.got["acc"]); n != 2 {
			return fmt.Errorf("%d records", n)
		}
		if got := sink.got["acc"][1]; got.ID != letter.ID || got.Type != DigestType {
			t.Errorf("redriven from the journal: %+v", got)
		}
		return nil
	})
}

// A treat from the history that was given up is sent again as itself, also by a lane that has changed to digests.
func TestRedriveOfABackfillToADigestSink(t *testing.T) {
	r := newRig(t, t.TempDir())
	_, stop := r.lane(&box{rule: func(context.Context, Record) error { return Permanent(errors.New("400 Bad Request")) }}, LaneConfig{})
	r.heal("acc", 1)
	letter := r.letters(1, DeadLetterFilter{})[0]
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	var sink box
	r.lane(&sink, LaneConfig{Backfill: DigestBackfill})
	if err := r.journal.Redrive(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	r.holds(&sink, "acc", []string{"Pie 0"})
}

// A digest that steps aside, here over a restart, is made again when it is its turn.
func TestDigestStepsAside(t *testing.T) {
	r := newRig(t, t.TempDir())
	var refuse atomic.Bool
	refuse.Store(true)
	sink := &box{rule: func(_ context.Context, record Record) error {
		if record.Type == DigestType && refuse.Load() {
			return RetryAfter(2*longWait, errors.New("500 Internal Server Error"))
		}
		return nil
	}}
	cfg := LaneConfig{Backfill: DigestBackfill}
	_, stop := r.lane(sink, cfg)
	r.heal("acc", 4)
	r.count("relay_sink_retries_waiting", 1)
	r.send(r.intake("acc"), 0, 1)
	r.eventually(func() error {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if len(sink.got["acc"]) != 1 {
			return errors.New("nothing passes the digest")
		}
		return nil
	})
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	retries, err := r.journal.retries(t.Context(), "box")
	if err != nil || len(retries) != 1 || !strings.HasPrefix(retries[0].ID, "dig_") {
		t.Fatalf("retries %+v, %v", retries, err)
	}
	retries[0].Next = time.Now()
	if err := r.journal.putRetry(t.Context(), "box", retries[0]); err != nil {
		t.Fatal(err)
	}
	refuse.Store(false)
	r.lane(sink, LaneConfig{}) // the sink's rule is another one meanwhile
	if d := r.digests(sink, "acc", 1)[0]; d.ID != retries[0].ID || d.Data.Count != 4 {
		t.Errorf("%+v", d)
	}
	r.count("relay_sink_retries_waiting", 0)
}

// While the journal cannot be read a digest waits, and that is no failure of its sink.
func TestDigestWaitsForTheJournal(t *testing.T) {
	p := natstest.Start(t)
	conn, err := nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	sink := &box{single: true, rule: func(_ context.Context, record Record) error {
		if record.Type == EventType {
			close(entered)
			<-release
		}
		return nil
	}}
	var log logLines
	l, err := OpenLane(t.Context(), r.journal, sink, LaneConfig{Sink: "box", Backfill: DigestBackfill, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	in := r.intake("acc")
	r.send(in, 0, 1)
	<-entered
	r.heal("acc", 5)
	r.eventually(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.queues[queueID{account: "acc"}]); n != 2 {
			return fmt.Errorf("the lane has %d, want the treat and the mark", n)
		}
		return nil
	})
	p.Kill()
	close(release)
	r.eventually(func() error {
		if !log.has("digest cannot be made") {
			return errors.New("nothing is said of the journal")
		}
		return nil
	})
	p.Restart()
	if d := r.digests(sink, "acc", 1)[0]; d.Data.Count != 5 {
		t.Errorf("%+v", d)
	}
	if failures, letters := r.metric("relay_sink_failures_total"), r.metric("relay_sink_dead_letters_total"); failures != 0 || letters != 0 {
		t.Errorf("%v failures of the sink, %v dead letters", failures, letters)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// logLines collects a log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

// What an earlier process left is settled although nothing is compared any more, and what is settled is looked for once.
func TestSettleWithoutComparisons(t *testing.T) {
	r := newRig(t, t.TempDir())
	var sink box
	r.lane(&sink, LaneConfig{Backfill: DigestBackfill})
	r.put("acc", OriginBackfill, evening(), 1)
	rec := r.reconciler(r.intake("acc"), &provider{}, ReconcileConfig{})
	rec.Wake()
	if d := r.digests(&sink, "acc", 1)[0]; d.Data.Count != 1 {
		t.Errorf("%+v", d)
	}
	r.reconcile(rec)
	if rec.unsettled {
		t.Error("it would look again")
	}
	r.checkMarks("acc")
}
