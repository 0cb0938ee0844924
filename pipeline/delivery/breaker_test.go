package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The schedule of an event that keeps failing, with a restart after each attempt: what is known of it goes through its form on
// disk every time.
func TestRetrySchedule(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var policy RetryPolicy
			start := time.Now()
			state := retry{Seq: 7, ID: "trt_x", Account: "acc"}
			var gaps []time.Duration
			for !state.over(policy, time.Now()) {
				began := time.Now()
				time.Sleep(3 * time.Second) // the attempt itself
				ended := time.Now()
				state.failed(began, ended, policy, errors.New("500"))
				data, err := pipeline.EncodeJSON(state)
				if err != nil {
					t.Fatal(err)
				}
				state = retry{Seq: 7}
				if err := json.Unmarshal(data, &state); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour / 3600) // the restart
				gaps = append(gaps, state.Next.Sub(ended))
				time.Sleep(time.Until(state.Next))
			}
			if d := gaps[0]; d < 4*time.Second || d > 6*time.Second {
				t.Errorf("first retry after %v, want 5s and a fifth either way", d)
			}
			nominal := 5 * time.Second
			for i, d := range gaps {
				if d < nominal*8/10-time.Millisecond || d > nominal*12/10+time.Millisecond {
					t.Errorf("delay %d is %v, want %v and a fifth either way", i, d, nominal)
				}
				nominal = min(2*nominal, 10*time.Hour)
			}
			// The last attempt is the first one after 72 h; those before it are at least nine.
			if took := time.Since(start); len(gaps) < 10 || took < 72*time.Hour || took > 72*time.Hour+24*time.Hour {
				t.Errorf("%d attempts in %v, want at least 9 until 72 h have passed", len(gaps), took)
			}
		})
	}
}

// What a destination asks for is never violated, nor stretched when it asks for less than is due.
func TestRetryAfterIsAFloor(t *testing.T) {
	for _, asked := range []time.Duration{0, time.Second, time.Minute, 24 * time.Hour} {
		var r retry
		now := time.Now()
		r.failed(now, now, RetryPolicy{}, pipeline.RetryAfter(asked, errors.New("503")))
		if got := r.Next.Sub(now); got < asked-time.Microsecond || got < 4*time.Second || got > max(asked, 6*time.Second)+time.Microsecond {
			t.Errorf("asked for %v: next attempt after %v", asked, got)
		}
	}
}

// breakerLog keeps what a breaker reports.
type breakerLog struct {
	mu     sync.Mutex
	events []breakerEvent
}

func (l *breakerLog) add(e breakerEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *breakerLog) count(kind pipeline.AlertKind) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.kind == kind {
			n++
		}
	}
	return n
}

var errDown = pipeline.Unavailable(errors.New("connection refused"))

func TestBreakerProbesWithOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log breakerLog
		g := newBreaker(0, 0, ProbePolicy{}, journal.SinkState{}, log.add)
		up := time.Now().Add(10 * time.Minute)
		var mu sync.Mutex
		var tries []time.Time
		var under, most int
		var work sync.WaitGroup
		for seq := range uint64(50) {
			work.Go(func() {
				for {
					p, ok := g.enter(t.Context(), nil)
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
						g.leave(p, seq, false, errDown)
						continue
					}
					g.leave(p, seq, false, nil)
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
		var log breakerLog
		g := newBreaker(0, 0, ProbePolicy{}, journal.SinkState{}, log.add)
		p, _ := g.enter(t.Context(), nil)
		other, _ := g.enter(t.Context(), nil)
		start := time.Now()
		g.leave(p, 1, false, pipeline.RetryAfter(2*time.Hour, errDown))
		g.leave(other, 2, false, pipeline.RetryAfter(3*time.Hour, errDown)) // it was on its way already, and was told more
		state, _ := g.now()
		data, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		var kept journal.SinkState
		if err := json.Unmarshal(data, &kept); err != nil {
			t.Fatal(err)
		}
		g = newBreaker(0, 0, ProbePolicy{}, kept, log.add)
		if p, ok := g.enter(t.Context(), nil); !ok || !p.probe || time.Since(start) < 3*time.Hour || time.Since(start) > 3*time.Hour+time.Second {
			t.Errorf("next delivery after %v (probe %v), want a probe after 3h", time.Since(start), p.probe)
		}
	})
}

// An endpoint that refuses everything, though it answers, fails as a whole; one that refuses one event does not.
func TestBreakerTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log breakerLog
		g := newBreaker(0, 0, ProbePolicy{}, journal.SinkState{}, log.add)
		refused := errors.New("status 500")
		try := func(seq uint64, aside bool, err error) {
			t.Helper()
			p, ok := g.enter(t.Context(), nil)
			if !ok {
				t.Fatal("turned away")
			}
			g.leave(p, seq, aside, err)
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
		if !g.open() {
			t.Fatal("closed by a few bad events")
		}
		since := time.Now()
		try(4, false, refused)
		time.Sleep(time.Second)
		try(5, false, refused)
		try(6, false, refused)
		if g.open() {
			t.Fatal("still open after three events in a row were refused")
		}
		if state, _ := g.now(); !state.DownSince.Equal(since) {
			t.Errorf("down since %v, want the first refusal at %v", state.DownSince, since)
		}
		try(4, false, refused) // a probe: an answer is not enough now
		if g.open() {
			t.Error("opened by a refusal")
		}
		try(4, false, nil)
		if !g.open() || log.count(pipeline.AlertRecovered) != 1 {
			t.Error("not opened by an accepted event")
		}
	})
}

func TestBreakerDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log breakerLog
		g := newBreaker(0, 0, ProbePolicy{}, journal.SinkState{}, log.add)
		p, _ := g.enter(t.Context(), nil)
		g.leave(p, 1, false, pipeline.Gone(errors.New("status 410")))
		entered := make(chan bool)
		go func() {
			_, ok := g.enter(t.Context(), nil)
			entered <- ok
		}()
		hurry := make(chan struct{})
		close(hurry)
		if _, ok := g.enter(t.Context(), hurry); ok {
			t.Error("let through though disabled")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		if _, ok := g.enter(ctx, nil); ok {
			t.Error("let through after 1000 hours")
		}
		g.obey(journal.SinkState{}, 1) // older than the destination's word, which is not on disk yet
		g.saved(2, true)
		if state, _ := g.now(); state.DisabledSince.IsZero() {
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
			g := newBreaker(c.concurrency, c.perSecond, ProbePolicy{}, journal.SinkState{}, func(breakerEvent) {})
			var mu sync.Mutex
			var begun []time.Time
			var under, most int
			var work sync.WaitGroup
			for seq := range uint64(60) {
				work.Go(func() {
					p, ok := g.enter(t.Context(), nil)
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
					g.leave(p, seq, false, nil)
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
				var log breakerLog
				g := newBreaker(0, 0, ProbePolicy{}, journal.SinkState{}, log.add)
				p, _ := g.enter(t.Context(), nil)
				other, _ := g.enter(t.Context(), nil)
				start := time.Now()
				g.leave(p, 1, false, pipeline.RetryAfter(time.Hour, errDown))
				time.Sleep(time.Second)
				g.leave(other, 2, false, late)
				if p, ok := g.enter(t.Context(), nil); !ok || !p.probe || time.Since(start) < time.Hour {
					t.Errorf("next delivery after %v (probe %v), want a probe after 1h", time.Since(start), p.probe)
				}
			})
		})
	}
}

// What the destination asked for one event holds, also when all that stepped aside is tried again because it works again.
func TestRecoveryHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSchedule(retryStore{}, prometheus.NewGauge(prometheus.GaugeOpts{}), zerolog.Nop())
		now := time.Now()
		free, held := new(retry{Seq: 1}), new(retry{Seq: 2})
		free.failed(now, now, RetryPolicy{Initial: 2 * time.Hour}, errors.New("status 500"))
		held.failed(now, now, RetryPolicy{}, pipeline.RetryAfter(time.Hour, errors.New("status 500")))
		l.byTime = byTime{free, held}
		time.Sleep(time.Minute)
		l.makeDue(now)
		if got := free.Next.Sub(now); got != time.Minute {
			t.Errorf("tried after %v, want at once when the destination works, after 1m", got)
		}
		if got := held.Next.Sub(now); got < time.Hour {
			t.Errorf("tried after %v, but the destination asked for 1h", got)
		}
	})
}
