package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestLaneDeliversInOrder(t *testing.T) {
	const n = 2000
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	r.send(in, 0, 10) // before the sink was configured: not for it
	r.count("relay_events_journaled_total", 10)
	var whole, single box
	single.single = true
	r.lane(&whole, LaneConfig{Sink: "whole"})
	r.lane(&single, LaneConfig{Sink: "single"})
	r.send(in, 10, n)
	r.holds(&whole, "acc", wantTitles(10, n))
	r.holds(&single, "acc", wantTitles(10, n))
	rec := whole.got["acc"][0]
	if rec.Account != "acc" || rec.Provider != "treatstream" || rec.Origin != OriginLive || !strings.HasPrefix(rec.ID, "trt_") || !json.Valid(rec.Line) {
		t.Errorf("record %+v", rec)
	}
	r.eventually(func() error {
		if got := r.metric("relay_sink_in_flight"); got != 0 {
			return fmt.Errorf("%v events in flight, want 0", got)
		}
		return nil
	})
}

// Where order does not matter, an event that takes long holds up no other of its account, no more are under way than may be, and all
// are there in the end, also those that were under way at a stop.
func TestNoOrder(t *testing.T) {
	const n, slow, concurrency = 200, 3, 4
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	var under, most atomic.Int64
	release := make(chan struct{})
	b := &box{single: true, rule: func(ctx context.Context, record Record) error {
		now := under.Add(1)
		defer under.Add(-1)
		for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		e, err := record.Event()
		if err != nil {
			return err
		}
		if *e.Data.Title < fmt.Sprintf("t%06d", slow) {
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	cfg := LaneConfig{Unordered: true, Concurrency: concurrency}
	_, stop := r.lane(b, cfg)
	r.send(in, 0, n)
	delivered := func(from int) {
		t.Helper()
		r.eventually(func() error {
			got := b.titles(t, "acc")
			slices.Sort(got)
			if want := wantTitles(from, n); !slices.Equal(got, want) {
				return fmt.Errorf("%d are delivered, want %d", len(got), len(want))
			}
			return nil
		})
	}
	delivered(slow) // all but those that hang, each in a queue of its own
	if most.Load() > concurrency {
		t.Errorf("%d deliveries at a time, want %d at most", most.Load(), concurrency)
	}
	_ = stop(false) // in the middle of these deliveries
	close(release)
	_, stop = r.lane(b, cfg)
	delivered(0)
	if err := stop(true); err != nil {
		t.Error(err)
	}
}

// Many lanes and a sink faster than the journal: none of them may come to a halt. (An iterator over batches did, once in some
// hundred runs, until its heartbeat was missed.)
func TestFastSinkNeverStalls(t *testing.T) {
	const n, lanes = 3000, 8
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	boxes := make([]box, lanes)
	for i := range boxes {
		r.lane(&boxes[i], LaneConfig{Sink: fmt.Sprint("box", i)})
	}
	r.send(in, 0, n)
	for i := range boxes {
		r.holds(&boxes[i], "acc", wantTitles(0, n))
	}
}

func TestLaneOfSomeAccounts(t *testing.T) {
	r := newRig(t, t.TempDir())
	var some, all box
	r.lane(&some, LaneConfig{Sink: "some", Accounts: []string{"b", "c"}})
	r.lane(&all, LaneConfig{Sink: "all"})
	for _, account := range []string{"a", "b", "c"} {
		r.send(r.intake(account), 0, 3)
	}
	for _, account := range []string{"a", "b", "c"} {
		r.holds(&all, account, wantTitles(0, 3))
	}
	r.holds(&some, "b", wantTitles(0, 3))
	r.holds(&some, "c", wantTitles(0, 3))
	r.holds(&some, "a", nil)
}

// An event that fails holds up its own account only, and is delivered before those behind it.
func TestRetryDelaysItsOwnAccountOnly(t *testing.T) {
	r := newRig(t, t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	sink := &box{rule: func(_ context.Context, rec Record) error {
		if rec.Account == "a" && broken.Load() {
			return errors.New("endpoint is down")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true})
	r.send(r.intake("a"), 0, 600) // more than is handed over at a time
	r.send(r.intake("b"), 0, 600)
	r.holds(sink, "b", wantTitles(0, 600))
	if got := sink.titles(t, "a"); got != nil {
		t.Errorf("events %v overtook one that fails", got)
	}
	broken.Store(false)
	r.holds(sink, "a", wantTitles(0, 600))
}

func TestErrorsSteer(t *testing.T) {
	r := newRig(t, t.TempDir())
	var mu sync.Mutex
	var tries []time.Time
	sink := &box{single: true, rule: func(_ context.Context, rec Record) error {
		switch {
		case strings.Contains(string(rec.Line), "t000001"):
			return Permanent(fmt.Errorf("answered: %w", errors.New("400 Bad Request")))
		case strings.Contains(string(rec.Line), "t000003"):
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			if len(tries) == 1 {
				return RetryAfter(300*time.Millisecond, errors.New("429 Too Many Requests"))
			}
		}
		return nil
	}}
	r.lane(sink, LaneConfig{})
	r.send(r.intake("acc"), 0, 5)
	r.holds(sink, "acc", []string{"t000000", "t000002", "t000003", "t000004"})
	if gap := tries[1].Sub(tries[0]); gap < 300*time.Millisecond {
		t.Errorf("tried again after %v, before the 300ms the sink asked for", gap)
	}
	r.count("relay_sink_dead_letters_total", 1)

	stream, err := r.journal.js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(t.Context(), "relay.dead.box")
	if err != nil {
		t.Fatal(err)
	}
	var dead DeadLetter
	if err := json.Unmarshal(msg.Data, &dead); err != nil {
		t.Fatal(err)
	}
	e, err := Record{Line: dead.Event}.Event()
	if err != nil || *e.Data.Title != "t000001" || dead.Sink != "box" || dead.Attempts != 1 || dead.Reason != "answered: 400 Bad Request" {
		t.Errorf("dead letter %+v (%v)", dead, err)
	}
}

// An event that keeps failing past its time becomes a dead letter, but not before it was tried several times.
func TestGivingUp(t *testing.T) {
	r := newRig(t, t.TempDir())
	var tries atomic.Int32
	sink := &box{rule: func(_ context.Context, rec Record) error {
		if strings.Contains(string(rec.Line), "t000000") {
			tries.Add(1)
			return errors.New("503 Service Unavailable")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: RetryPolicy{Initial: time.Millisecond, Max: time.Millisecond, GiveUp: time.Nanosecond}})
	r.send(r.intake("acc"), 0, 2)
	r.holds(sink, "acc", []string{"t000001"})
	if tries.Load() != minAttempts {
		t.Errorf("tried %d times, want %d", tries.Load(), minAttempts)
	}
}

// A lane that is cut off with events under way takes them up again at the next start, at once and in order.
func TestLaneResumesInOrder(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	hang := &box{single: true, rule: func(ctx context.Context, rec Record) error {
		if strings.Contains(string(rec.Line), "t000001") || strings.Contains(string(rec.Line), "t000005") {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}}
	l, stop := r.lane(hang, LaneConfig{})
	r.send(r.intake("a"), 0, 3)
	r.send(r.intake("b"), 3, 9)
	r.holds(hang, "a", wantTitles(0, 1))
	r.holds(hang, "b", wantTitles(3, 5))
	r.eventually(func() error { // until the server has noted what was delivered
		if info, err := l.cons.Info(t.Context()); err != nil || info.NumAckPending != 6 {
			return fmt.Errorf("the lane is at %+v, %w", info, err)
		}
		return nil
	})
	if err := stop(false); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	r.send(r.intake("b"), 9, 11)
	r.count("relay_events_journaled_total", 2)
	var sink box
	start := time.Now()
	r.lane(&sink, LaneConfig{})
	r.holds(&sink, "a", wantTitles(1, 3))
	r.holds(&sink, "b", wantTitles(5, 11))
	if took := time.Since(start); took > ackWait/2 {
		t.Errorf("took %v: the events were taken up by the server's timeout", took)
	}
	info, err := r.journal.js.Consumer(t.Context(), JournalStream, "lane_box")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := info.CachedInfo().Config; cfg.AckWait != ackWait || cfg.MaxAckPending != maxAckPending {
		t.Errorf("the lane is left with AckWait %v and MaxAckPending %d", cfg.AckWait, cfg.MaxAckPending)
	}
}

// What is under way comes again when it is asked for, though by the server's clock its time is far away; what is acknowledged does not.
// TestChaos has a clock that is set back meanwhile.
func TestRefusedEventsComeAgain(t *testing.T) {
	r := newRig(t, t.TempDir())
	l, err := OpenLane(t.Context(), r.journal, &box{}, LaneConfig{Sink: "box", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	r.send(r.intake("a"), 0, 9)
	r.count("relay_events_journaled_total", 9)
	fetch := func(n int) (seqs []uint64, all map[uint64]jetstream.Msg) {
		t.Helper()
		all = make(map[uint64]jetstream.Msg)
		batch, err := l.cons.Fetch(n, jetstream.FetchMaxWait(ackWait/2)) // less than after which they come by themselves
		if err != nil {
			t.Fatal(err)
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, meta.Sequence.Stream)
			all[meta.Sequence.Stream] = msg
		}
		return seqs, all
	}
	first, all := fetch(7)
	for _, seq := range first[:3] {
		if err := all[seq].DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := all[first[4]].DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := l.cons.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.refuse(t.Context(), info, map[uint64]jetstream.Msg{first[5]: nil}); err != nil {
		t.Fatal(err)
	}
	if again, _ := fetch(2); !slices.Equal(again, []uint64{first[3], first[6]}) {
		t.Errorf("of %v came again %v", first, again)
	}
}

func TestDrainDeliversWhatIsJournaled(t *testing.T) {
	r := newRig(t, t.TempDir())
	sink := &box{rule: func(_ context.Context, rec Record) error {
		if rec.Account == "failing" {
			return errors.New("endpoint is down")
		}
		time.Sleep(time.Millisecond)
		return nil
	}}
	_, stop := r.lane(sink, LaneConfig{Strict: true, Retry: RetryPolicy{Initial: 2 * time.Second}})
	r.send(r.intake("failing"), 0, 400)
	r.send(r.intake("fine"), 0, 700)
	r.count("relay_events_journaled_total", 1100)
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantTitles(0, 700), sink.titles(t, "fine")); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	if sink.closed != 1 {
		t.Errorf("the sink was closed %d times, want once", sink.closed)
	}
	var again box
	r.lane(&again, LaneConfig{})
	r.holds(&again, "failing", wantTitles(0, 400))
	r.holds(&again, "fine", nil)
}

// Draining in full flow delivers in order all the same.
func TestDrainKeepsOrder(t *testing.T) {
	const n = 1500
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	for range 5 {
		var sink box
		_, stop := r.lane(&sink, LaneConfig{})
		before := r.kept()
		r.send(in, before, before+n)
		r.eventually(func() error {
			if got := len(sink.titles(t, "acc")); got < n/3 {
				return fmt.Errorf("%d events delivered", got)
			}
			return nil
		})
		if err := stop(true); err != nil {
			t.Fatal(err)
		}
		got := sink.titles(t, "acc")
		r.eventually(func() error {
			if all := r.kept(); all != before+n {
				return fmt.Errorf("%d events in the journal, want %d", all, before+n)
			}
			return nil
		})
		var rest box
		_, stop = r.lane(&rest, LaneConfig{})
		r.eventually(func() error {
			if all := len(got) + len(rest.titles(t, "acc")); all < n {
				return fmt.Errorf("%d events delivered, want %d", all, n)
			}
			return nil
		})
		if err := stop(true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantTitles(before, before+n), append(got, rest.titles(t, "acc")...)); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
	}
}

func TestSinkClosedByItsReader(t *testing.T) {
	r := newRig(t, t.TempDir())
	gone := &box{single: true, rule: func(_ context.Context, rec Record) error {
		if strings.Contains(string(rec.Line), "t000002") {
			return fmt.Errorf("write: %w", ErrSinkClosed)
		}
		return nil
	}}
	l, err := OpenLane(t.Context(), r.journal, gone, LaneConfig{Sink: "gone", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(t.Context()) }()
	r.send(r.intake("acc"), 0, 5)
	if err := <-done; !errors.Is(err, ErrSinkClosed) {
		t.Errorf("Run returned %v, want ErrSinkClosed", err)
	}
	if got := gone.titles(t, "acc"); !slices.Equal(got, wantTitles(0, 2)) {
		t.Errorf("delivered %v", got)
	}
}

// What the server hands out again while the lane still has it is not delivered twice, nor is what it delivered just now.
func TestHandedOutAgain(t *testing.T) {
	r := newRig(t, t.TempDir())
	release := make(chan struct{})
	sink := &box{single: true, rule: func(ctx context.Context, _ Record) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
	l, _ := r.lane(sink, LaneConfig{})
	r.send(r.intake("acc"), 0, 3)
	held := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.held)
	}
	r.eventually(func() error {
		if n := held(); n != 3 {
			return fmt.Errorf("%d events held, want 3", n)
		}
		return nil
	})
	again := func() {
		hasty := l.ccfg
		hasty.AckWait = 10 * time.Millisecond
		if _, err := r.journal.js.UpdateConsumer(t.Context(), JournalStream, hasty); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
		if _, err := r.journal.js.UpdateConsumer(t.Context(), JournalStream, l.ccfg); err != nil {
			t.Fatal(err)
		}
	}
	again()
	info, err := l.cons.Info(t.Context())
	if err != nil || info.NumRedelivered == 0 {
		t.Fatalf("the server handed nothing out again: %+v, %v", info, err)
	}
	close(release)
	r.holds(sink, "acc", wantTitles(0, 3))
	r.eventually(func() error {
		if info, err := l.cons.Info(t.Context()); err != nil || info.NumAckPending != 0 {
			return fmt.Errorf("not all acknowledged: %+v, %w", info, err)
		}
		return nil
	})
	r.holds(sink, "acc", wantTitles(0, 3))
}

func TestDeletedLaneEndsWithAnError(t *testing.T) {
	r := newRig(t, t.TempDir())
	failing := &box{rule: func(_ context.Context, rec Record) error {
		if rec.Account == "failing" {
			return errors.New("endpoint is down")
		}
		return nil
	}}
	l, err := OpenLane(t.Context(), r.journal, failing, LaneConfig{Sink: "box", Log: testLog(t), Retry: RetryPolicy{Initial: time.Hour, Max: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(t.Context()) }()
	r.send(r.intake("acc"), 0, 1)
	r.count("relay_sink_delivered_total", 1)
	r.send(r.intake("failing"), 0, 1) // its worker waits for an hour
	r.count("relay_sink_failures_total", 1)
	if err := r.journal.js.DeleteConsumer(t.Context(), JournalStream, "lane_box"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, jetstream.ErrConsumerDeleted) || !strings.Contains(err.Error(), "restart relay") {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the lane goes on without its cursor")
	}
}
