// Package breaker decides when a destination may be sent something: the circuit breaker and the limits of a sink, and the state of the sink on disk, which
// the operator changes too.
package breaker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/journal"
)

// tripAt is how many events in a row a destination refuses, none accepted meanwhile, until it counts as failing as a whole.
const tripAt = 3

// Breaker is the circuit breaker before a destination, and its limits. It lets as many deliveries at a time and in a second through as the
// operator allows, none while the sink is disabled, and one now and then, a probe, while the destination fails as a whole.
type Breaker struct {
	limits limits
	news   news

	mu       sync.Mutex
	state    journal.SinkState
	prober   prober
	refusals refusals
	accepted uint64        // deliveries
	floor    time.Time     // the destination has demanded to be left alone until then
	outage   [2]time.Time  // beginning and end of the last one
	changed  chan struct{} // closed when one who waits should try again
	operator operator
}

// New makes the circuit breaker of a sink that is in a state. A concurrency or a rate of 0 is no limit.
func New(concurrency int, perSecond float64, probe Policy, state journal.SinkState) *Breaker {
	return &Breaker{
		limits: newLimits(concurrency, perSecond), state: state,
		prober: prober{policy: probe.WithDefaults()}, refusals: refusals{of: make(map[uint64]struct{})}, changed: make(chan struct{}),
	}
}

// refusals are the events that were refused since one was accepted.
type refusals struct {
	of    map[uint64]struct{}
	since time.Time // the first of them
}

// note adds one, and returns how many there are.
func (r *refusals) note(number uint64, now time.Time) int {
	if len(r.of) == 0 {
		r.since = now
	}
	r.of[number] = struct{}{}
	return len(r.of)
}

func (r *refusals) clear() {
	clear(r.of)
	r.since = time.Time{}
}

// A Pass is the right to deliver once. It is given back with [Breaker.Leave] or [Breaker.Abort].
type Pass struct {
	Probe    bool
	Accepted uint64 // how many deliveries the destination had accepted before
}

// Enter waits for a pass. It reports false when ctx ends, or when hurry is closed and the way is not free.
func (b *Breaker) Enter(ctx context.Context, hurry <-chan struct{}) (Pass, bool) {
	for {
		if !b.passable(ctx, hurry) || !b.limits.enter(ctx) {
			return Pass{}, false
		}
		b.mu.Lock()
		p, ok := b.admit(time.Now)
		b.mu.Unlock()
		if ok {
			return p, true
		}
		b.limits.leave()
	}
}

// admit reports whether a delivery may begin now, and takes the probe if it is one.
func (b *Breaker) admit(now func() time.Time) (Pass, bool) {
	switch {
	case !b.state.DisabledSince.IsZero():
		return Pass{}, false
	case b.state.DownSince.IsZero():
		return Pass{Accepted: b.accepted}, true
	case b.prober.under || now().Before(b.state.NotBefore):
		return Pass{}, false
	}
	b.prober.under = true
	return Pass{Probe: true, Accepted: b.accepted}, true
}

// passable waits until a delivery might be admitted.
func (b *Breaker) passable(ctx context.Context, hurry <-chan struct{}) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		b.mu.Lock()
		changed, wait := b.changed, time.Duration(-1)
		switch {
		case !b.state.DisabledSince.IsZero() || b.prober.under:
		case b.state.DownSince.IsZero():
			wait = 0
		default:
			wait = max(time.Until(b.state.NotBefore), 0)
		}
		b.mu.Unlock()
		if wait == 0 {
			return true
		}
		if !clock.Await(ctx, hurry, changed, wait) {
			return false
		}
	}
}

// Leave gives a pass back and says what became of the delivery of an event: err, or nil if it was accepted. aside says that the
// event waits on its own schedule, so that its failure says little of the destination.
func (b *Breaker) Leave(p Pass, number uint64, aside bool, err error) {
	b.mu.Lock()
	now := time.Now()
	if p.Probe {
		b.prober.under = false
	}
	after, _ := pipeline.RetryDelay(err)
	if pipeline.IsUnavailable(err) {
		b.floor = clock.Later(b.floor, now.Add(after))
	}
	events := b.judge(attempt{p, number, aside, now, after, err})
	if p.Probe || len(events) > 0 {
		b.wake()
	}
	b.news.add(events)
	b.mu.Unlock()
	b.limits.leave() // not before: the next one is to see what this one was told
	if len(events) > 0 {
		b.report()
	}
}

// An attempt is what is known of a delivery that has ended.
type attempt struct {
	Pass
	number uint64
	aside  bool
	now    time.Time
	after  time.Duration // the destination asked to be left alone for so long
	err    error
}

// judge says what an attempt shows of the destination. What the answer to one that was on its way already does not end is the time
// for which the destination asked to be left alone.
func (b *Breaker) judge(a attempt) (events []event) {
	left := a.now.Before(b.floor)
	switch {
	case a.err == nil:
		b.accepted++
		b.refusals.clear()
		if !left {
			events = b.up()
		}
		return events
	case pipeline.IsGone(a.err):
		return b.disable(a)
	case pipeline.IsUnavailable(a.err):
		return b.down(a, a.err)
	case !b.state.Refusing && !left:
		events = b.up() // it answers, though it refuses this event
	}
	if down := b.refused(a); down != nil {
		return down
	}
	return events
}

// disable records that the destination says that it is gone.
func (b *Breaker) disable(a attempt) []event {
	if !b.state.DisabledSince.IsZero() { // it was on its way when another was told so
		return nil
	}
	b.state.DisabledSince, b.state.Reason, b.operator.gone = a.now.UTC(), a.err.Error(), true
	return []event{{kind: pipeline.AlertDisabled, since: a.now, reason: a.err.Error()}}
}

// refused records that the destination answered, but refused this event. When it refuses one after the other, it fails as a whole.
func (b *Breaker) refused(a attempt) []event {
	if a.Probe && b.state.Refusing {
		return b.down(a, a.err)
	}
	if a.aside || pipeline.IsPermanent(a.err) {
		return nil
	}
	if n := b.refusals.note(a.number, a.now); n >= tripAt && b.state.DownSince.IsZero() {
		b.state.Refusing = true
		return b.down(a, fmt.Errorf("%d events in a row were refused, the last one so: %w", n, a.err))
	}
	return nil
}

// Abort gives a pass back when the delivery was broken off from this side.
func (b *Breaker) Abort(p Pass) {
	b.limits.leave()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Probe {
		b.prober.under = false
		b.wake()
	}
}

// down records that the destination fails as a whole.
func (b *Breaker) down(a attempt, err error) []event {
	e := event{reason: err.Error()}
	began := b.state.DownSince.IsZero()
	switch {
	case began:
		b.state.DownSince = a.now.UTC()
		if !b.refusals.since.IsZero() {
			b.state.DownSince = b.refusals.since.UTC()
		}
		b.prober.begin()
		e.kind = pipeline.AlertDown
	case !a.Probe && a.after == 0: // it was on its way when the first one failed
		return nil
	case a.Probe:
		b.prober.failed++
	}
	next := a.now.Add(a.after)
	if wait := b.prober.backoff(); a.Probe || began {
		next = a.now.Add(max(wait.NextBackOff(), a.after))
	}
	if next.After(b.state.NotBefore) {
		b.state.NotBefore, b.state.NotedAt = next, a.now
	}
	b.state.Reason = err.Error()
	e.probes, e.since = b.prober.failed, b.state.DownSince
	return []event{e}
}

// up records that the destination works, and returns the event of that if it is news.
func (b *Breaker) up() []event {
	if b.state.DownSince.IsZero() {
		return nil
	}
	e := event{kind: pipeline.AlertRecovered, probes: b.prober.failed, since: b.state.DownSince, reason: b.state.Reason}
	b.outage = [2]time.Time{b.state.DownSince, time.Now()}
	b.state.DownSince, b.state.NotBefore, b.state.NotedAt = time.Time{}, time.Time{}, time.Time{}
	if b.state.DisabledSince.IsZero() {
		b.state.Reason = ""
	}
	b.state.Refusing = false
	return []event{e}
}

// wake makes those who wait try again. b.mu is held.
func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Nudge makes those try again who wait for an end of the outage, when the lane has other events to probe with.
func (b *Breaker) Nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.DownSince.IsZero() {
		b.wake()
	}
}

// Premature reports whether an event that was refused then need not wait for its own time: the destination fails as a whole,
// so that the event can be the probe, or failed as a whole then. The channel is closed when that changes.
func (b *Breaker) Premature(refused time.Time) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	then := !refused.Before(b.outage[0]) && !refused.After(b.outage[1])
	return then || !b.state.DownSince.IsZero(), b.changed
}

// Now returns the state, and a channel that is closed when it changes.
func (b *Breaker) Now() (journal.SinkState, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.changed
}

// Failing reports whether the destination fails as a whole.
func (b *Breaker) Failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.state.DownSince.IsZero()
}

// Open reports whether deliveries go on.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.DisabledSince.IsZero() && b.state.DownSince.IsZero()
}

// Deliveries is how many were accepted.
func (b *Breaker) Deliveries() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted
}
