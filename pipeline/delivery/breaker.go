package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// tripAt is how many events in a row a destination refuses, none accepted meanwhile, until it counts as failing as a whole.
const tripAt = 3

// breaker is the circuit breaker before a destination, and its limits. It lets as many deliveries at a time and in a second through as the
// operator allows, none while the sink is disabled, and one now and then, a probe, while the destination fails as a whole.
type breaker struct {
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

func newBreaker(concurrency int, perSecond float64, probe ProbePolicy, state journal.SinkState, notify func(breakerEvent)) *breaker {
	return &breaker{
		limits: newLimits(concurrency, perSecond), news: news{notify: notify}, state: state,
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

// A pass is the right to deliver once. It is given back with [breaker.leave] or [breaker.abort].
type pass struct {
	probe    bool
	accepted uint64 // how many deliveries the destination had accepted before
}

// enter waits for a pass. It reports false when ctx ends, or when hurry is closed and the way is not free.
func (b *breaker) enter(ctx context.Context, hurry <-chan struct{}) (pass, bool) {
	for {
		if !b.passable(ctx, hurry) || !b.limits.enter(ctx) {
			return pass{}, false
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
func (b *breaker) admit(now func() time.Time) (pass, bool) {
	switch {
	case !b.state.DisabledSince.IsZero():
		return pass{}, false
	case b.state.DownSince.IsZero():
		return pass{accepted: b.accepted}, true
	case b.prober.under || now().Before(b.state.NotBefore):
		return pass{}, false
	}
	b.prober.under = true
	return pass{probe: true, accepted: b.accepted}, true
}

// passable waits until a delivery might be admitted.
func (b *breaker) passable(ctx context.Context, hurry <-chan struct{}) bool {
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
		if !await(ctx, hurry, changed, wait) {
			return false
		}
	}
}

// leave gives a pass back and says what became of the delivery of an event: err, or nil if it was accepted. aside says that the
// event waits on its own schedule, so that its failure says little of the destination.
func (b *breaker) leave(p pass, number uint64, aside bool, err error) {
	b.mu.Lock()
	now := time.Now()
	if p.probe {
		b.prober.under = false
	}
	after, _ := pipeline.RetryDelay(err)
	if pipeline.IsUnavailable(err) {
		b.floor = later(b.floor, now.Add(after))
	}
	events := b.judge(attempt{p, number, aside, now, after, err})
	if p.probe || len(events) > 0 {
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
	pass
	number uint64
	aside  bool
	now    time.Time
	after  time.Duration // the destination asked to be left alone for so long
	err    error
}

// judge says what an attempt shows of the destination. What the answer to one that was on its way already does not end is the time
// for which the destination asked to be left alone.
func (b *breaker) judge(a attempt) (events []breakerEvent) {
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
func (b *breaker) disable(a attempt) []breakerEvent {
	if !b.state.DisabledSince.IsZero() { // it was on its way when another was told so
		return nil
	}
	b.state.DisabledSince, b.state.Reason, b.operator.gone = a.now.UTC(), a.err.Error(), true
	return []breakerEvent{{kind: pipeline.AlertDisabled, since: a.now, reason: a.err.Error()}}
}

// refused records that the destination answered, but refused this event. When it refuses one after the other, it fails as a whole.
func (b *breaker) refused(a attempt) []breakerEvent {
	if a.probe && b.state.Refusing {
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

// abort gives a pass back when the delivery was broken off from this side.
func (b *breaker) abort(p pass) {
	b.limits.leave()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.probe {
		b.prober.under = false
		b.wake()
	}
}

// down records that the destination fails as a whole.
func (b *breaker) down(a attempt, err error) []breakerEvent {
	event := breakerEvent{reason: err.Error()}
	began := b.state.DownSince.IsZero()
	switch {
	case began:
		b.state.DownSince = a.now.UTC()
		if !b.refusals.since.IsZero() {
			b.state.DownSince = b.refusals.since.UTC()
		}
		b.prober.begin()
		event.kind = pipeline.AlertDown
	case !a.probe && a.after == 0: // it was on its way when the first one failed
		return nil
	case a.probe:
		b.prober.failed++
	}
	next := a.now.Add(a.after)
	if wait := b.prober.backoff(); a.probe || began {
		next = a.now.Add(max(wait.NextBackOff(), a.after))
	}
	if next.After(b.state.NotBefore) {
		b.state.NotBefore, b.state.NotedAt = next, a.now
	}
	b.state.Reason = err.Error()
	event.probes, event.since = b.prober.failed, b.state.DownSince
	return []breakerEvent{event}
}

// up records that the destination works, and returns the event of that if it is news.
func (b *breaker) up() []breakerEvent {
	if b.state.DownSince.IsZero() {
		return nil
	}
	event := breakerEvent{kind: pipeline.AlertRecovered, probes: b.prober.failed, since: b.state.DownSince, reason: b.state.Reason}
	b.outage = [2]time.Time{b.state.DownSince, time.Now()}
	b.state.DownSince, b.state.NotBefore, b.state.NotedAt = time.Time{}, time.Time{}, time.Time{}
	if b.state.DisabledSince.IsZero() {
		b.state.Reason = ""
	}
	b.state.Refusing = false
	return []breakerEvent{event}
}

// wake makes those who wait try again. b.mu is held.
func (b *breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// nudge makes those try again who wait for an end of the outage, when the lane has other events to probe with.
func (b *breaker) nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.DownSince.IsZero() {
		b.wake()
	}
}

// premature reports whether an event that was refused then need not wait for its own time: the destination fails as a whole,
// so that the event can be the probe, or failed as a whole then. The channel is closed when that changes.
func (b *breaker) premature(refused time.Time) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	then := !refused.Before(b.outage[0]) && !refused.After(b.outage[1])
	return then || !b.state.DownSince.IsZero(), b.changed
}

// now returns the state, and a channel that is closed when it changes.
func (b *breaker) now() (journal.SinkState, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.changed
}

// failing reports whether the destination fails as a whole.
func (b *breaker) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.state.DownSince.IsZero()
}

// open reports whether deliveries go on.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.DisabledSince.IsZero() && b.state.DownSince.IsZero()
}

// deliveries is how many were accepted.
func (b *breaker) deliveries() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted
}
