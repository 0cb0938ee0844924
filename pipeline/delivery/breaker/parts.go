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

// limits are how many deliveries may be under way at a time, and begin in a second.
type limits struct {
	slots chan struct{} // nil: any number
	rate  *rate.Limiter // nil: any rate
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

// enter waits until one more delivery may begin, and reports false if ctx ended before.
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

// prober says when a destination that fails as a whole is probed.
type prober struct {
	policy Policy
	under  bool // a probe is under way
	failed int  // probes since it is down
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

// A breakerEvent is a change for the better or the worse.
type event struct {
	kind   pipeline.AlertKind // AlertDown, AlertDisabled or AlertRecovered; empty: only the time of the next probe has changed
	probes int                // that failed
	since  time.Time          // when it began to fail
	reason string
}

// news are the events of which nobody was notified yet.
type news struct {
	notify    func(event)
	notifying sync.Mutex // held by the one who notifies, so that it happens in the order of the events
	waiting   []event
}

func (n *news) add(events []event) { n.waiting = append(n.waiting, events...) }

// report notifies of the events that nobody was notified of yet, in their order.
func (b *Breaker) report() {
	b.news.notifying.Lock()
	defer b.news.notifying.Unlock()
	for {
		b.mu.Lock()
		if len(b.news.waiting) == 0 {
			b.mu.Unlock()
			return
		}
		next := b.news.waiting[0]
		b.news.waiting = b.news.waiting[1:]
		b.mu.Unlock()
		b.news.notify(next)
	}
}

// operator is what a breaker knows of the state on disk, by which the operator enables and disables the sink.
type operator struct {
	gone     bool    // the destination says that it is gone, and that is not on disk yet
	revision uint64  // of the state on disk that holds what the destination said last
	missed   *ruling // what the operator said meanwhile
}

// A ruling is what the operator says by the state on disk.
type ruling struct {
	state    journal.SinkState
	revision uint64
}

// unsaved returns the state, and whether it holds that the destination is gone, which is not on disk yet.
func (b *Breaker) unsaved() (state journal.SinkState, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.operator.gone
}

// saved says that what [Breaker.unsaved] returned is on disk, as that revision.
func (b *Breaker) saved(revision uint64, gone bool) {
	if !gone { // then it holds what the operator said last, which is still to be obeyed
		return
	}
	b.mu.Lock()
	missed := b.operator.missed
	b.operator = operator{revision: revision}
	b.mu.Unlock()
	if missed != nil {
		b.obey(missed.state, missed.revision)
	}
}

// obey does as the operator says, who disables and enables the sink by its state on disk. What is older than what the breaker
// itself has put there does not count.
func (b *Breaker) obey(s journal.SinkState, revision uint64) {
	b.mu.Lock()
	if revision <= b.operator.revision {
		b.mu.Unlock()
		return
	}
	if b.operator.gone {
		b.operator.missed = &ruling{s, revision}
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
		b.news.waiting = append(b.news.waiting, event{kind: pipeline.AlertDisabled, since: since, reason: reason})
	case !was.IsZero() && since.IsZero():
		b.news.waiting = append(b.news.waiting, event{kind: pipeline.AlertRecovered, since: was})
	}
	b.wake()
	b.mu.Unlock()
	b.report()
}

// Wake makes a state of what was read from disk, and reports whether the clock was ahead when it was written: then it is to be kept
// again, for the next start would calculate from the same wrong time.
func Wake(s *journal.SinkState, now time.Time) (ahead bool) {
	if s.NotBefore.IsZero() {
		return false
	}
	s.NotBefore = clock.Waking(s.NotBefore, s.NotedAt, now)
	if wrong := s.NotedAt.Sub(now); wrong > 0 {
		s.DownSince, s.NotedAt = s.DownSince.Add(-wrong), now
		return true
	}
	return false
}

// Policy says how long a lane waits between two probes of a destination that fails as a whole: growing times, each
// varied by a fifth either way.
type Policy struct {
	Initial, Max time.Duration
	// Alone is how long an event that is refused as its own fault is tried if there is no other to compare it with. Then it is given up.
	Alone time.Duration
}

// WithDefaults fills in what is zero: 1 s, 1 min and 15 min.
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
