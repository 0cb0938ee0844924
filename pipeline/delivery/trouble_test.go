package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// refuses makes a rule that fails the events of these titles.
func refuses(err error, titles ...string) func(context.Context, pipeline.Record) error {
	return func(_ context.Context, r pipeline.Record) error {
		for _, title := range titles {
			if strings.Contains(string(r.Line), title) {
				return err
			}
		}
		return nil
	}
}

// An event that fails five times is deferred: those behind it pass, and it comes when the sink takes it, also after a restart.
func TestDeferredEvent(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	sink := &box{single: true, rule: refuses(errors.New("status 500"), "t000001")}
	retry := schedule.Policy{Initial: time.Millisecond, Max: 30 * time.Second}
	_, stop := r.lane(sink, LaneConfig{Retry: retry})
	in := r.intake("acc")
	r.send(in, 0, 4)
	r.holds(sink, "acc", []string{"t000000", "t000002", "t000003"})
	r.eventually(func() error {
		if n := len(r.retries("box")); n != 1 {
			return fmt.Errorf("%d retries on disk, want 1", n)
		}
		return nil
	})
	if got := r.metric("relay_sink_retries_waiting"); got != 1 {
		t.Errorf("%v retries waiting, want 1", got)
	}
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	var again box
	all := r.retries("box")
	if len(all) != 1 || all[0].Attempts < schedule.DeferAfter || !all[0].Deferred {
		t.Fatalf("retries %+v", all)
	}
	r.lane(&again, LaneConfig{Retry: retry})
	r.holds(&again, "acc", []string{"t000001"})
	r.eventually(func() error {
		if n := len(r.retries("box")); n != 0 {
			return fmt.Errorf("%d retries on disk, want none", n)
		}
		return nil
	})
	if again.got["acc"][0].ID != all[0].ID {
		t.Errorf("came with id %s, was %s", again.got["acc"][0].ID, all[0].ID)
	}
}

func TestStrictOrder(t *testing.T) {
	r := newRig(t, t.TempDir())
	var tries atomic.Int32
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000000") && tries.Add(1) < 12 {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true})
	r.send(r.intake("acc"), 0, 4)
	r.holds(sink, "acc", wantTitles(0, 4))
}

// A destination that is down costs no event its position, however long it takes, and no more than a probe at a time.
func TestOutageKeepsOrder(t *testing.T) {
	r := newRig(t, t.TempDir())
	var down atomic.Bool
	var probes, under, most atomic.Int32
	var accounts sync.Map
	down.Store(true)
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if !down.Load() {
			return nil
		}
		probes.Add(1)
		// The first of each account may be on their way together.
		if _, again := accounts.LoadOrStore(rec.Account, true); again {
			if n := under.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer under.Add(-1)
		}
		time.Sleep(time.Millisecond)
		return pipeline.Unavailable(errors.New("connection refused"))
	}}
	var alerts alertBox
	r.lane(sink, LaneConfig{Alert: alerts.add})
	for _, account := range []string{"a", "b", "c"} {
		r.send(r.intake(account), 0, 50)
	}
	r.eventually(func() error {
		if n := probes.Load(); n < 40 {
			return fmt.Errorf("%d probes", n)
		}
		return nil
	})
	if got := r.metric("relay_sink_down"); got != 1 {
		t.Errorf("relay_sink_down = %v", got)
	}
	r.eventually(func() error {
		if s, err := r.journal.SinkState(t.Context(), "box"); err != nil || s.DownSince.IsZero() || !strings.Contains(s.Reason, "refused") {
			return fmt.Errorf("state %+v, %w", s, err)
		}
		return nil
	})
	if most.Load() > 1 {
		t.Errorf("%d at a time while down, want 1", most.Load())
	}
	down.Store(false)
	for _, account := range []string{"a", "b", "c"} {
		r.holds(sink, account, wantTitles(0, 50))
	}
	r.eventually(func() error {
		if s, err := r.journal.SinkState(t.Context(), "box"); err != nil || s != (journal.SinkState{}) {
			return fmt.Errorf("state %+v, %w", s, err)
		}
		return nil
	})
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDown, pipeline.AlertRecovered}) {
		t.Errorf("alerts %v, want one that it is down and one that it works again", got)
	}
	if r.metric("relay_sink_dead_letters_total") != 0 || r.metric("relay_sink_outages_total") != 1 || r.metric("relay_sink_down") != 0 {
		t.Error("metrics do not show one outage without dead letters")
	}
}

// An event at which the destination hangs, and at no other, looks like an outage; it is found out and deferred.
func TestPoisonStepsAside(t *testing.T) {
	for _, accounts := range [][]string{{"a"}, {"a", "b"}} {
		t.Run(fmt.Sprint(len(accounts), " accounts"), func(t *testing.T) {
			r := newRig(t, t.TempDir())
			poison := errors.New("no complete answer within 15s")
			sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
				if rec.Account == "a" && strings.Contains(string(rec.Line), "t000001") {
					return pipeline.Unanswered(poison)
				}
				return nil
			}}
			r.lane(sink, LaneConfig{Retry: schedule.Policy{Initial: 10 * time.Second}})
			var sends sync.WaitGroup
			for _, account := range accounts {
				sends.Go(func() {
					in := r.intake(account)
					for n := range 40 {
						r.send(in, n, n+1)
						time.Sleep(5 * time.Millisecond)
					}
				})
			}
			sends.Wait()
			for _, account := range accounts {
				want := wantTitles(0, 40)
				if account == "a" {
					want = slices.Delete(want, 1, 2)
				}
				r.holds(sink, account, want)
			}
			r.eventually(func() error {
				if all := r.retries("box"); len(all) != 1 || !all[0].Deferred || all[0].Attempts < schedule.DeferAfter {
					return fmt.Errorf("retries %+v", all)
				}
				return nil
			})
		})
	}
}

// An event that was deferred while the endpoint refused everything comes as soon as it does no more, not on its own schedule.
func TestRefusalOfEverythingIsAnOutage(t *testing.T) {
	r := newRig(t, t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if broken.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: schedule.Policy{Initial: 2 * time.Hour}}) // so long that each is deferred at once
	r.send(r.intake("acc"), 0, 10)
	r.eventually(func() error {
		if r.metric("relay_sink_down") != 1 {
			return errors.New("sink is not down")
		}
		return nil
	})
	broken.Store(false)
	r.eventually(func() error {
		got := sink.titles(t, "acc")
		if slices.Sort(got); !slices.Equal(got, wantTitles(0, 10)) {
			return fmt.Errorf("the sink has %v", got)
		}
		return nil
	})
}

// Events that the destination refuses for good while it is down must not leave the lane without one to probe with.
func TestProbesGoOnWhenTheHeldEventsAreGone(t *testing.T) {
	r := newRig(t, t.TempDir())
	var mu sync.Mutex
	tries := make(map[string]int)
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if !strings.HasPrefix(rec.Account, "bad") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if tries[rec.Account]++; tries[rec.Account] == 1 {
			return errors.New("status 500")
		}
		return pipeline.Permanent(errors.New("status 400"))
	}}
	r.lane(sink, LaneConfig{})
	const before = maxHandover - 2*3
	r.send(r.intake("good"), 100, 100+before)
	r.count("relay_sink_delivered_total", before)
	for n := range 3 {
		r.send(r.intake(fmt.Sprint("bad", n)), 0, 1)
	}
	r.count("relay_sink_outages_total", 1)
	r.send(r.intake("bad0"), 1, 1+3) // now the lane has taken as many as it asked for
	r.send(r.intake("good"), 100+before, 200+before)
	r.holds(sink, "good", wantTitles(100, 200+before))
	next := 200 + before
	r.eventually(func() error { // that they are wrong in themselves shows while others are accepted
		r.send(r.intake("good"), next, next+1)
		next++
		if n := r.metric("relay_sink_dead_letters_total"); n != 2*3 {
			return fmt.Errorf("%v dead letters", n)
		}
		return nil
	})
}

// Bad events of some accounts, of which each waits long for its next attempt, do not keep those of others from showing that the
// sink works, nor does the lane wait for them when it works again.
func TestStrictAccountsDoNotHoldUpOthers(t *testing.T) {
	r := newRig(t, t.TempDir())
	var repaired atomic.Bool
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.HasPrefix(rec.Account, "bad") && !repaired.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true, Retry: schedule.Policy{Initial: time.Hour}})
	for n := range 3 {
		r.send(r.intake(fmt.Sprint("bad", n)), 0, 1)
	}
	r.count("relay_sink_outages_total", 1)
	r.send(r.intake("bad0"), 1, 1+maxHandover-3) // now the lane has taken as many as it asked for
	r.count("relay_sink_in_flight", maxHandover)
	r.send(r.intake("good"), 0, 3)
	r.holds(sink, "good", wantTitles(0, 3))
}

// With strict order too, what was refused while the sink refused everything is tried as soon as it does no more.
func TestStrictRecovers(t *testing.T) {
	r := newRig(t, t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if broken.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true, Retry: schedule.Policy{Initial: time.Hour}})
	for n := range 3 {
		r.send(r.intake(fmt.Sprint("a", n)), 0, 3)
	}
	r.count("relay_sink_outages_total", 1)
	r.eventually(func() error { // probed with one, which is not counted as an attempt of the schedule
		if n := r.metric("relay_sink_failures_total"); n < 3+5 {
			return fmt.Errorf("%v attempts", n)
		}
		return nil
	})
	all := r.retries("box")
	if len(all) != 3 || slices.ContainsFunc(all, func(r schedule.Retry) bool { return r.Attempts != 1 }) {
		t.Errorf("retries %+v", all)
	}
	broken.Store(false)
	for n := range 3 {
		r.holds(sink, fmt.Sprint("a", n), wantTitles(0, 3))
	}
}

// An outage that meets a deferred event is no reason to give it up, however late.
func TestOutageGivesNothingUp(t *testing.T) {
	r := newRig(t, t.TempDir())
	first := box{rule: func(context.Context, pipeline.Record) error {
		return pipeline.RetryAfter(2*schedule.LongWait, errors.New("status 500"))
	}}
	_, stop := r.lane(&first, LaneConfig{})
	r.send(r.intake("acc"), 0, 1)
	r.count("relay_sink_retries_waiting", 1)
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	late, long := r.retries("box")[0], time.Now().Add(-100*time.Hour)
	late.First, late.Last, late.Next, late.Floor, late.Attempts = long, long, long, time.Time{}, 20
	if err := schedule.NewStore(r.state, "box").Put(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		switch n := tries.Add(1); {
		case n == 1:
			return pipeline.Unavailable(errors.New("connection refused"))
		case n < 10: // it is down already, so this says nothing of the event
			return pipeline.Unanswered(errors.New("no answer"))
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: schedule.Policy{Initial: time.Millisecond, Max: time.Millisecond}})
	r.holds(sink, "acc", wantTitles(0, 1))
	if got := r.metric("relay_sink_dead_letters_total"); got != 0 {
		t.Errorf("%v dead letters of an outage", got)
	}
}
