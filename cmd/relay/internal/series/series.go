// Package series keeps the last hour of sinks and accounts, in steps of ten seconds, for plots. It is in memory: it begins with the start of
// relay, and what a reload removes stays until it is an hour old.
package series

import (
	"math"
	"sync"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

const (
	// Step is the time between two samples.
	Step = 10 * time.Second
	// Points is how many steps are kept.
	Points = int(time.Hour / Step)
)

// A Sample is what is known at one moment. Counters begin at 0 with each new Owner.
type Sample struct {
	Sinks    map[string]Sink
	Accounts map[string]Account
}

// A Sink is a sink at the moment of a sample.
type Sink struct {
	Owner             any    // what counts; comparable
	Delivered, Failed uint64 // so far
	Waiting           float64
	// Latency returns the percentiles of the latest n deliveries, at most as many as are known; 0 if none are.
	Latency func(n uint64) (p50, p99 time.Duration)
}

// An Account is an account at the moment of a sample.
type Account struct {
	Owner  any
	Treats uint64 // so far
}

// Series keeps samples. The zero value is empty. Its methods are safe for concurrent use.
type Series struct {
	mu       sync.Mutex
	end      time.Time // of the newest step; zero: no sample yet
	step     uint64    // number of the newest step
	sinks    map[string]*track[sinkPoint]
	accounts map[string]*track[float64]
}

type sinkPoint struct{ delivered, failed, waiting, p50, p99 float64 }

// A track is one sink or account. The point of step n is points[n%Points].
type track[P any] struct {
	points  [Points]P
	seen    uint64
	owner   any
	counted [2]uint64 // by owner, at the newest sample
}

// Add adds a sample that was taken now. Steps without a sample are unknown.
func (s *Series) Add(now time.Time, sample *Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.end.IsZero()
	now = now.Round(0) // by the clock of the wall, which goes on while the machine sleeps
	passed := uint64(1)
	if n := now.Sub(s.end).Round(Step) / Step; !first && n > 1 {
		passed = uint64(min(n, time.Duration(Points)+1))
	}
	s.end, s.step = now, s.step+passed
	nan := math.NaN()
	s.sinks = advance(s.sinks, passed, s.step, sinkPoint{nan, nan, nan, nan, nan}, sample.Sinks)
	s.accounts = advance(s.accounts, passed, s.step, nan, sample.Accounts)
	for name, now := range sample.Sinks {
		t := s.sinks[name]
		n := t.count(now.Owner, [2]uint64{now.Delivered, now.Failed})
		t.seen = s.step
		if first {
			continue // how long it took to count that is unknown
		}
		p := sinkPoint{float64(n[0]), float64(n[1]), now.Waiting, nan, nan}
		if n[0] > 0 {
			p50, p99 := now.Latency(n[0])
			p.p50, p.p99 = milliseconds(p50), milliseconds(p99)
		}
		t.points[s.step%uint64(Points)] = p
	}
	for name, now := range sample.Accounts {
		t := s.accounts[name]
		n := t.count(now.Owner, [2]uint64{now.Treats})
		t.seen = s.step
		if !first {
			t.points[s.step%uint64(Points)] = float64(n[0])
		}
	}
}

// advance moves all tracks on by the steps that have passed, adds tracks for new names, and drops those that were not seen for an hour.
func advance[P, N any](tracks map[string]*track[P], passed, step uint64, none P, names map[string]N) map[string]*track[P] {
	if tracks == nil {
		tracks = make(map[string]*track[P])
	}
	for name, t := range tracks {
		for n := range min(passed, uint64(Points)) {
			t.points[(step-n)%uint64(Points)] = none
		}
		if _, ok := names[name]; !ok && step-t.seen >= uint64(Points) {
			delete(tracks, name)
		}
	}
	for name := range names {
		if tracks[name] == nil {
			t := new(track[P])
			for i := range t.points {
				t.points[i] = none
			}
			tracks[name] = t
		}
	}
	return tracks
}

// count returns how much the counters have grown since the last sample.
func (t *track[P]) count(owner any, now [2]uint64) (grown [2]uint64) {
	if t.owner != owner {
		t.owner, t.counted = owner, [2]uint64{}
	}
	for i := range now {
		if now[i] < t.counted[i] { // it began again
			t.counted[i] = 0
		}
		grown[i] = now[i] - t.counted[i]
	}
	t.counted = now
	return grown
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// Last returns the last hour.
func (s *Series) Last() api.Series {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.end
	if end.IsZero() {
		end = time.Now()
	}
	v := api.Series{
		StepSeconds: int(Step / time.Second), Start: end.Add(-time.Duration(Points) * Step).UTC(), Points: Points,
		Sinks: make(map[string]api.SinkSeries, len(s.sinks)), Accounts: make(map[string]api.AccountSeries, len(s.accounts)),
	}
	for name, t := range s.sinks {
		v.Sinks[name] = api.SinkSeries{
			Delivered: values(t, s.step, func(p sinkPoint) float64 { return p.delivered }),
			Failed:    values(t, s.step, func(p sinkPoint) float64 { return p.failed }),
			Waiting:   values(t, s.step, func(p sinkPoint) float64 { return p.waiting }),
			P50:       values(t, s.step, func(p sinkPoint) float64 { return p.p50 }),
			P99:       values(t, s.step, func(p sinkPoint) float64 { return p.p99 }),
		}
	}
	for name, t := range s.accounts {
		v.Accounts[name] = api.AccountSeries{Treats: values(t, s.step, func(n float64) float64 { return n })}
	}
	return v
}

// values returns one value of each point, oldest first.
func values[P any](t *track[P], step uint64, of func(P) float64) api.Values {
	v := make(api.Values, Points)
	for i := range v {
		v[i] = of(t.points[(step+1+uint64(i))%uint64(Points)])
	}
	return v
}
