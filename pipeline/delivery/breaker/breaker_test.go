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

// breakerLog keeps what a breaker reports.
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
	b.news.notify = notify
	return b
}

var errDown = pipeline.Unavailable(errors.New("connection refused"))

func TestBreakerProbesWithOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		g := newTestBreaker(0, 0, Policy{}, journal.SinkState{}, log.add)
		up := time.Now().Add(10 * time.Minute)
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
		// 50 were on their way when the first failed; then 1, 2, 4 ... 60 s: about 15 in ten minutes.
		if n := len(tries); n < 50+50+9 || n > 50+50+20 {
			t.Errorf("%d attempts, want 50 at once, about 15 probes and 50 at the end", n)
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
		state, _ := g.Now()
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
			try(100+seq, true, refused)                      // those that stepped aside say little
			try(200+seq, false, pipeline.Permanent(refused)) // nor do those that are wrong themselves
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
		if state, _ := g.Now(); !state.DownSince.Equal(since) {
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
		g.obey(journal.SinkState{}, 1) // older than the destination's word, which is not on disk yet
		g.saved(2, true)
		if state, _ := g.Now(); state.DisabledSince.IsZero() {
			t.Error("the destination's word is undone by what was on disk before it")
		}
		g.saved(4, false) // what the operator said in revision 3 is in this one too
		g.obey(journal.SinkState{}, 4)
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
