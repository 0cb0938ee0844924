package delivery

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

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
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
	if rec.Account != "acc" || rec.Provider != "treatstream" || rec.Origin != pipeline.OriginLive || !strings.HasPrefix(rec.ID, "trt_") || !json.Valid(rec.Line) {
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
	b := &box{single: true, rule: func(ctx context.Context, record pipeline.Record) error {
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
	r.lane(&some, LaneConfig{Sink: "some", Selection: rules.Selection{Accounts: []string{"b", "c"}}})
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
	sink := &box{rule: func(_ context.Context, rec pipeline.Record) error {
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
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		switch {
		case strings.Contains(string(rec.Line), "t000001"):
			return pipeline.Permanent(fmt.Errorf("answered: %w", errors.New("400 Bad Request")))
		case strings.Contains(string(rec.Line), "t000003"):
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			if len(tries) == 1 {
				return pipeline.RetryAfter(300*time.Millisecond, errors.New("429 Too Many Requests"))
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

	letters, err := r.letters()
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	dead := letters[0]
	e, err := pipeline.Record{Line: dead.Event}.Event()
	if err != nil || *e.Data.Title != "t000001" || dead.Sink != "box" || dead.Attempts != 5 || dead.Reason != "answered: 400 Bad Request" {
		t.Errorf("dead letter %+v (%v)", dead, err)
	}
}

// An event that keeps failing past its time becomes a dead letter, but not before it was tried several times.
func TestGivingUp(t *testing.T) {
	r := newRig(t, t.TempDir())
	var tries atomic.Int32
	sink := &box{rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000000") {
			tries.Add(1)
			return errors.New("503 Service pipeline.Unavailable")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: schedule.Policy{Initial: time.Millisecond, Max: time.Millisecond, GiveUp: time.Nanosecond}})
	r.send(r.intake("acc"), 0, 2)
	r.holds(sink, "acc", []string{"t000001"})
	if tries.Load() != 5 {
		t.Errorf("tried %d times, want %d", tries.Load(), 5)
	}
}

// A lane that is cut off with events under way takes them up again at the next start, at once and in order.
func TestLaneResumesInOrder(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	hang := &box{single: true, rule: func(ctx context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000001") || strings.Contains(string(rec.Line), "t000005") {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}}
	_, stop := r.lane(hang, LaneConfig{})
	r.send(r.intake("a"), 0, 3)
	r.send(r.intake("b"), 3, 9)
	r.holds(hang, "a", wantTitles(0, 1))
	r.holds(hang, "b", wantTitles(3, 5))
	if err := stop(false); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	r.send(r.intake("b"), 9, 11)
	r.count("relay_events_journaled_total", 2)
	var sink box
	r.lane(&sink, LaneConfig{})
	r.holds(&sink, "a", wantTitles(1, 3))
	r.holds(&sink, "b", wantTitles(5, 11))
}

func TestDrainDeliversWhatIsJournaled(t *testing.T) {
	r := newRig(t, t.TempDir())
	sink := &box{rule: func(_ context.Context, rec pipeline.Record) error {
		if rec.Account == "failing" {
			return errors.New("endpoint is down")
		}
		time.Sleep(time.Millisecond)
		return nil
	}}
	_, stop := r.lane(sink, LaneConfig{Strict: true, Retry: schedule.Policy{Initial: 2 * time.Second}})
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
	gone := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000002") {
			return fmt.Errorf("write: %w", pipeline.ErrSinkClosed)
		}
		return nil
	}}
	l, err := r.home.Open(t.Context(), gone, LaneConfig{Sink: "gone", Log: r.logger()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(t.Context()) }()
	r.send(r.intake("acc"), 0, 5)
	if err := <-done; !errors.Is(err, pipeline.ErrSinkClosed) {
		t.Errorf("Run returned %v, want pipeline.ErrSinkClosed", err)
	}
	if got := gone.titles(t, "acc"); !slices.Equal(got, wantTitles(0, 2)) {
		t.Errorf("delivered %v", got)
	}
}
