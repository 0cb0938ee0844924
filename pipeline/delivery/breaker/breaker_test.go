package breaker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// eventLog keeps what a breaker reports.
type eventLog struct {
	mu     sync.Mutex
	events []event
}

func (l *eventLog) add(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *eventLog) count(kind pipeline.AlertKind) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.kind == kind {
			n++
		}
	}
	return n
}

func newTestBreaker(concurrency int, perSecond float64, probe Policy, state journal.SinkState, notify func(event)) *Breaker {
	b := New(concurrency, perSecond, probe, state)
	b.events.notify = notify
	return b
}

var errDown = pipeline.Unavailable(errors.New("connection refused"))

func TestBreakerProbesWithOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
		up := time.Now().Add(20 * time.Minute)
		var mu sync.Mutex
		var tries []time.Time
		var under, most int
		var work sync.WaitGroup
		for seq := range uint64(50) {
			work.Go(func() {
				for {
					p, ok := g.Enter(t.Context(), nil)
					if !ok {
						t.Error("turned away")
						return
					}
					mu.Lock()
					if under++; time.Now().Before(up) && len(tries) >= 50 {
						most = max(most, under)
					}
					tries = append(tries, time.Now())
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
					mu.Lock()
					under--
					mu.Unlock()
					if time.Now().Before(up) {
						g.Leave(p, seq, false, errDown)
						continue
					}
					g.Leave(p, seq, false, nil)
					return
				}
			})
		}
		work.Wait()
		if most != 1 {
			t.Errorf("%d deliveries at a time while the destination was down, want 1", most)
		}
		// 50 were on their way when the first failed; then 1, 2, 4, 8, 12 s and so on until ten minutes, and then at most 72 s: some 65 in 20 minutes.
		if n := len(tries); n < 50+50+50 || n > 50+50+80 {
			t.Errorf("%d attempts, want 50 at once, about 65 probes and 50 at the end", n)
		}
		if late := tries[len(tries)-51].Sub(up); late > 73*time.Second {
			t.Errorf("the probe that found it up came %v after", late)
		}
		if log.count(pipeline.AlertDown) != 1 || log.count(pipeline.AlertRecovered) != 1 {
			t.Errorf("told %d times that it is down and %d times that it recovered, want once each", log.count(pipeline.AlertDown), log.count(pipeline.AlertRecovered))
		}
	})
}

// A destination that says when to come again is not probed before, also after a restart.
func TestBreakerHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
		p, _ := g.Enter(t.Context(), nil)
		other, _ := g.Enter(t.Context(), nil)
		start := time.Now()
		g.Leave(p, 1, false, pipeline.RetryAfter(2*time.Hour, errDown))
		g.Leave(other, 2, false, pipeline.RetryAfter(3*time.Hour, errDown)) // it was on its way already, and was told more
		state, _ := g.State()
		data, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		var kept journal.SinkState
		if err := json.Unmarshal(data, &kept); err != nil {
			t.Fatal(err)
		}
		g = newTestBreaker(0, 0, Policy{}, kept, log.add)
		if p, ok := g.Enter(t.Context(), nil); !ok || !p.Probe || time.Since(start) < 3*time.Hour || time.Since(start) > 3*time.Hour+time.Second {
			t.Errorf("next delivery after %v (probe %v), want a probe after 3h", time.Since(start), p.Probe)
		}
	})
}

// An endpoint that refuses everything, though it answers, fails as a whole; one that refuses one event does not.
func TestBreakerTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
		refused := errors.New("status 500")
		try := func(seq uint64, aside bool, err error) {
			t.Helper()
			p, ok := g.Enter(t.Context(), nil)
			if !ok {
				t.Fatal("turned away")
			}
			g.Leave(p, seq, aside, err)
		}
		for range 10 {
			try(1, false, refused) // the same event again and again
			try(2, false, refused)
			try(3, false, nil)
		}
		for seq := range uint64(10) {
			try(100+seq, true, refused) // those that stepped deferred say little
		}
		if !g.Open() {
			t.Fatal("closed by a few bad events")
		}
		since := time.Now()
		try(4, false, refused)
		time.Sleep(time.Second)
		try(5, false, refused)
		try(6, false, refused)
		if g.Open() {
			t.Fatal("still open after three events in a row were refused")
		}
		if state, _ := g.State(); !state.DownSince.Equal(since) {
			t.Errorf("down since %v, want the first refusal at %v", state.DownSince, since)
		}
		try(4, false, refused) // a probe: an answer is not enough now
		if g.Open() {
			t.Error("opened by a refusal")
		}
		try(4, false, nil)
		if !g.Open() || log.count(pipeline.AlertRecovered) != 1 {
			t.Error("not opened by an accepted event")
		}
	})
}

func TestBreakerDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
		p, _ := g.Enter(t.Context(), nil)
		g.Leave(p, 1, false, pipeline.Gone(errors.New("status 410")))
		entered := make(chan bool)
		go func() {
			_, ok := g.Enter(t.Context(), nil)
			entered <- ok
		}()
		hurry := make(chan struct{})
		close(hurry)
		if _, ok := g.Enter(t.Context(), hurry); ok {
			t.Error("let through though disabled")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		if _, ok := g.Enter(ctx, nil); ok {
			t.Error("let through after 1000 hours")
		}
		g.applyOperator(journal.SinkState{}, 1) // older than the destination's word, which is not on disk yet
		g.saved(2, true)
		if state, _ := g.State(); state.DisabledSince.IsZero() {
			t.Error("the destination's word is undone by what was on disk before it")
		}
		g.saved(4, false) // what the operator said in revision 3 is in this one too
		g.applyOperator(journal.SinkState{}, 4)
		if !<-entered {
			t.Error("not let through when enabled")
		}
		if log.count(pipeline.AlertDisabled) != 1 || log.count(pipeline.AlertRecovered) != 1 {
			t.Errorf("told %+v", log.events)
		}
	})
}

func TestBreakerLimits(t *testing.T) {
	for _, c := range []struct {
		concurrency, most int
		perSecond         float64
	}{{concurrency: 3, most: 3}, {perSecond: 10, most: 5}} {
		synctest.Test(t, func(t *testing.T) {
			g := newTestBreaker(c.concurrency, c.perSecond, Policy{}, journal.SinkState{}, func(event) {})
			var mu sync.Mutex
			var begun []time.Time
			var under, most int
			var work sync.WaitGroup
			for seq := range uint64(60) {
				work.Go(func() {
					p, ok := g.Enter(t.Context(), nil)
					if !ok {
						t.Error("turned away")
						return
					}
					mu.Lock()
					begun = append(begun, time.Now())
					under++
					most = max(most, under)
					mu.Unlock()
					time.Sleep(450 * time.Millisecond)
					mu.Lock()
					under--
					mu.Unlock()
					g.Leave(p, seq, false, nil)
				})
			}
			work.Wait()
			if most != c.most {
				t.Errorf("%d at a time, want %d", most, c.most)
			}
			for i := 11; i < len(begun) && c.perSecond > 0; i++ {
				if d := begun[i].Sub(begun[i-11]); d < time.Second {
					t.Errorf("12 deliveries begun within %v, want 10 a second", d)
				}
			}
		})
	}
}

// A request that was on its way when the destination asked to be left alone, and is accepted, does not let others through early.
func TestLateAnswerDoesNotEndRetryAfter(t *testing.T) {
	for name, late := range map[string]error{"accepted": nil, "refused": errors.New("status 500"), "wrong": pipeline.Permanent(errors.New("status 400"))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log eventLog
				g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
				p, _ := g.Enter(t.Context(), nil)
				other, _ := g.Enter(t.Context(), nil)
				start := time.Now()
				g.Leave(p, 1, false, pipeline.RetryAfter(time.Hour, errDown))
				time.Sleep(time.Second)
				g.Leave(other, 2, false, late)
				if p, ok := g.Enter(t.Context(), nil); !ok || !p.Probe || time.Since(start) < time.Hour {
					t.Errorf("next delivery after %v (probe %v), want a probe after 1h", time.Since(start), p.Probe)
				}
			})
		})
	}
}

// A receiver that fails four times and then works is tried again within 15 s, but not before the time that it asked for.
func TestProbesKeepComing(t *testing.T) {
	for fails := range 40 {
		synctest.Test(t, func(t *testing.T) {
			g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, func(event) {})
			last := time.Now()
			for n := range fails {
				p, _ := g.Enter(t.Context(), nil)
				after := time.Duration(0)
				if last = time.Now(); n == fails-1 && n%2 == 1 {
					after = 5 * time.Minute
				}
				g.Leave(p, 1, false, pipeline.RetryAfter(after, errDown))
			}
			_, _ = g.Enter(t.Context(), nil)
			least, most := time.Duration(0), 15*time.Second
			if fails > 0 && fails%2 == 0 {
				least, most = 5*time.Minute, 5*time.Minute
			}
			if wait := time.Since(last); wait < least || wait > most {
				t.Errorf("after %d failures the next try comes after %v", fails, wait)
			}
		})
	}
}

// Any kind of refusal in a row is an outage of the sink: also of one event that nothing can be compared with. An answer by which the destination refuses
// whatever it is sent does not end an outage.
func TestRefusalsInARowAreAnOutage(t *testing.T) {
	for name, err := range map[string]error{"wrong event": pipeline.Permanent(errors.New("status 400")), "all": pipeline.Denied(errors.New("status 404"))} {
		synctest.Test(t, func(t *testing.T) {
			g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, func(event) {})
			try := func(number uint64, err error) {
				p, _ := g.Enter(t.Context(), nil)
				g.Leave(p, number, false, err)
			}
			for range 2 {
				try(1, err)
				try(2, err)
				try(3, nil)
			}
			if g.Failing() {
				t.Errorf("%s: down though others are accepted", name)
			}
			for range 3 {
				try(1, err)
			}
			if !g.Failing() || g.ShouldGiveUp(1, false) {
				t.Errorf("%s: down is %v though nothing is accepted", name, g.Failing())
			}
			for began := time.Now(); time.Since(began) < 15*time.Minute; {
				try(1, err)
			}
			if got := g.ShouldGiveUp(1, false); got != (name == "wrong event") {
				t.Errorf("%s: hopeless is %v after 15 minutes", name, got)
			}
			for began := time.Now(); time.Since(began) < 15*time.Minute; {
				try(1, err)
				try(2, err)
			}
			if g.ShouldGiveUp(1, false) || g.ShouldGiveUp(2, false) {
				t.Errorf("%s: two are refused", name)
			}
			if got := g.ShouldGiveUp(2, true); got != (name == "wrong event") || g.ShouldGiveUp(1, true) {
				t.Errorf("%s: hopeless is %v after 15 minutes, and no other can be tried", name, got)
			}
			try(1, nil)
			try(1, errDown)
			try(1, err)
			if g.Failing() != (name == "all") {
				t.Errorf("%s in an outage: down is %v", name, g.Failing())
			}
		})
	}
}

// New events have a destination probed within 15 s that has failed for an hour, but not before the time that it asked for.
func TestFreshEventsAreProbedFor(t *testing.T) {
	for after, most := range map[time.Duration]time.Duration{0: 15 * time.Second, 5 * time.Minute: 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, func(event) {})
			var last, came time.Time
			for start := time.Now(); time.Since(start) < time.Hour; {
				p, _ := g.Enter(t.Context(), nil)
				last = time.Now()
				g.Leave(p, 1, false, pipeline.RetryAfter(after, errDown))
			}
			entered := make(chan struct{})
			go func() {
				_, _ = g.Enter(t.Context(), nil)
				came = time.Now()
				close(entered)
			}()
			time.Sleep(time.Second)
			g.NotifyNewEvents()
			<-entered
			if wait := came.Sub(last); wait > most || wait < after {
				t.Errorf("probed %v after the last attempt, want at most %v, and no sooner than %v", wait, most, after)
			}
		})
	}
}

// An event that was given up is no reason to keep the next one that is wrong in itself for ever, though nothing is accepted.
func TestGivenUpEventsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, func(event) {})
		wrong := pipeline.Permanent(errors.New("status 400"))
		for number := range uint64(3) {
			tries := 0
			for ; !g.ShouldGiveUp(number, false); tries++ {
				p, _ := g.Enter(t.Context(), nil)
				g.Leave(p, number, false, wrong)
				if tries > 1000 {
					t.Fatalf("event %d is never given up", number)
				}
			}
			g.Forget(number)
		}
	})
}
