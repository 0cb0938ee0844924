package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/journal"
)

// limits bound the concurrent deliveries and their rate.
type limits struct {
	slots chan struct{} // nil: unlimited
	rate  *rate.Limiter // nil: unlimited
}

func newLimits(concurrency int, perSecond float64) (l limits) {
	if concurrency > 0 {
		l.slots = make(chan struct{}, concurrency)
	}
	if perSecond > 0 {
		l.rate = rate.NewLimiter(rate.Limit(perSecond), 1)
	}
	return l
}

// enter waits until one more delivery may start. It reports false if ctx ends first.
func (l *limits) enter(ctx context.Context) bool {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	if l.rate != nil && l.rate.Wait(ctx) != nil {
		l.leave()
		return false
	}
	return true
}

func (l *limits) leave() {
	if l.slots != nil {
		<-l.slots
	}
}

// prober schedules the probes of a destination that is down.
type prober struct {
	policy Policy
	under  bool // a probe is running
	failed int  // failed probes of this outage
	wait   *backoff.ExponentialBackOff
}

func (p *prober) begin() { p.failed, p.wait = 0, nil }

func (p *prober) backoff() *backoff.ExponentialBackOff {
	if p.wait == nil {
		p.wait = backoff.NewExponentialBackOff(backoff.WithInitialInterval(p.policy.Initial), backoff.WithMaxInterval(p.policy.Max),
			backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
	}
	return p.wait
}

// An event is a change of the breaker.
type event struct {
	kind   pipeline.AlertKind // AlertDown, AlertDisabled or AlertRecovered; empty: only the time of the next probe has changed
	probes int                // failed ones
	since  time.Time          // start of the outage
	reason string
}

// eventQueue holds the events that are still to be reported.
type eventQueue struct {
	notify    func(event)
	notifying sync.Mutex // held while reporting, so that events are reported in order
	waiting   []event
}

func (q *eventQueue) add(events []event) { q.waiting = append(q.waiting, events...) }

// report reports the pending events in order.
func (b *Breaker) report() {
	b.events.notifying.Lock()
	defer b.events.notifying.Unlock()
	for {
		b.mu.Lock()
		if len(b.events.waiting) == 0 {
			b.mu.Unlock()
			return
		}
		next := b.events.waiting[0]
		b.events.waiting = b.events.waiting[1:]
		b.mu.Unlock()
		b.events.notify(next)
	}
}

// operator tracks the state on disk, by which the operator enables and disables the sink.
type operator struct {
	gone     bool            // the destination is gone, and that is not on disk yet
	revision uint64          // of the state on disk with the destination's last report
	missed   *operatorChange // what the operator has changed meanwhile
}

// operatorChange is a change by the operator.
type operatorChange struct {
	state    journal.SinkState
	revision uint64
}

// unsaved returns the state, and whether it includes that the destination is gone, which is not on disk yet.
func (b *Breaker) unsaved() (state journal.SinkState, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.operator.gone
}

// saved records that the result of [Breaker.unsaved] is on disk, with that revision.
func (b *Breaker) saved(revision uint64, gone bool) {
	if !gone { // it holds the operator's last change, which is still to be applied
		return
	}
	b.mu.Lock()
	missed := b.operator.missed
	b.operator = operator{revision: revision}
	b.mu.Unlock()
	if missed != nil {
		b.applyOperator(missed.state, missed.revision)
	}
}

// applyOperator applies a state that the operator has written to disk. It ignores a state older than the breaker's own last one.
func (b *Breaker) applyOperator(s journal.SinkState, revision uint64) {
	b.mu.Lock()
	if revision <= b.operator.revision {
		b.mu.Unlock()
		return
	}
	if b.operator.gone {
		b.operator.missed = &operatorChange{s, revision}
		b.mu.Unlock()
		return
	}
	since, reason, was := s.DisabledSince, s.Reason, b.state.DisabledSince
	b.state.DisabledSince = since
	if !since.IsZero() {
		b.state.Reason = reason
	} else if b.state.DownSince.IsZero() {
		b.state.Reason = ""
	}
	switch {
	case was.IsZero() && !since.IsZero():
		b.events.waiting = append(b.events.waiting, event{kind: pipeline.AlertDisabled, since: since, reason: reason})
	case !was.IsZero() && since.IsZero():
		b.events.waiting = append(b.events.waiting, event{kind: pipeline.AlertRecovered, since: was})
	}
	b.wake()
	b.mu.Unlock()
	b.report()
}

// FromDisk converts a state that was read from disk. It reports whether the clock was ahead when the state was written.
// Then it must be saved again, or the next start would calculate with the wrong time.
func FromDisk(s *journal.SinkState, now time.Time) (ahead bool) {
	if s.NotBefore.IsZero() {
		return false
	}
	s.NotBefore = clock.FromDisk(s.NotBefore, s.NotedAt, now)
	if wrong := s.NotedAt.Sub(now); wrong > 0 {
		s.DownSince, s.NotedAt = s.DownSince.Add(-wrong), now
		return true
	}
	return false
}

// Policy configures the delays between probes of a destination that is down. They grow, and vary by 20 %.
type Policy struct {
	Initial, Max time.Duration
	// Alone is how long an event that is refused as its own fault is retried if there is no other event to compare it
	// with. Then it is given up.
	Alone time.Duration
}

// WithDefaults replaces zero values: 1 s, 1 min and 15 min.
func (p Policy) WithDefaults() Policy {
	if p.Initial == 0 {
		p.Initial = time.Second
	}
	if p.Max == 0 {
		p.Max = time.Minute
	}
	if p.Alone == 0 {
		p.Alone = 15 * time.Minute
	}
	p.Max = max(p.Max, p.Initial)
	return p
}
