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

const (
	// tripAt is how many events in a row a destination does not accept, or how many refusals it says in a row, see [pipeline.IsRefusal], until it counts
	// as failing as a whole.
	tripAt = 3
	// tripAlike is how many events in a row it refuses with one code, see [pipeline.RefusalCode].
	tripAlike = 2
	// patience is for how long a destination that fails is probed every probeLimit at least, since events wait; then more seldom, unless new ones come.
	patience   = 10 * time.Minute
	probeLimit = 12 * time.Second
)

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

// refusals are a row: the events that were refused since one was accepted.
type refusals struct {
	of    map[uint64]struct{}
	total int       // attempts
	since time.Time // the first of them
	code  string    // that all of them have; empty: they have none, or not the same
	own   time.Time // since when all were said to be the events' own fault
}

func (r *refusals) note(number uint64, now time.Time, err error) {
	code := pipeline.RefusalCode(err)
	switch {
	case r.total == 0:
		r.since, r.code = now, code
	case code != r.code:
		r.code = ""
	}
	switch {
	case !pipeline.IsPermanent(err):
		r.own = time.Time{}
	case r.own.IsZero():
		r.own = now
	}
	r.of[number] = struct{}{}
	r.total++
}

// everything reports whether they show that the destination fails as a whole. err is the latest.
func (r *refusals) everything(err error) bool {
	return len(r.of) >= tripAt || r.total >= tripAt && pipeline.IsRefusal(err) || len(r.of) >= tripAlike && r.code != ""
}

func (r *refusals) clear() {
	clear(r.of)
	r.total, r.since, r.code, r.own = 0, time.Time{}, "", time.Time{}
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
		b.refusals.own = time.Time{}
		return b.down(a, a.err)
	case !b.state.Refusing && !left && (!a.Probe || !pipeline.IsDenied(a.err)):
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
	if a.aside && !a.Probe {
		return nil
	}
	b.refusals.note(a.number, a.now, a.err)
	down := !b.state.DownSince.IsZero()
	switch {
	case a.Probe && b.state.Refusing:
		return b.down(a, a.err)
	case a.Probe && down && pipeline.IsDenied(a.err):
		b.state.Refusing = true
		return b.down(a, a.err)
	case !down && b.refusals.everything(a.err):
		b.state.Refusing = true
		return b.down(a, fmt.Errorf("%w (%d times in a row nothing was accepted)", a.err, b.refusals.total))
	}
	return nil
}

// Note records that the destination refused an event that was tried with the pass of another one.
func (b *Breaker) Note(number uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals.note(number, time.Now(), err)
}

// Another waits until one more event may be delivered with a pass. It reports false when ctx ends before.
func (b *Breaker) Another(ctx context.Context) bool {
	return b.limits.rate == nil || b.limits.rate.Wait(ctx) == nil
}

// Hopeless reports whether an event is to be given up though nothing shows that the destination accepts others: for a long time, see [Policy], all
// refusals said that it is the event's fault, and it is the only one that was refused, or no other can be tried in its place.
func (b *Breaker) Hopeless(number uint64, only bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, r := time.Now(), &b.refusals
	if _, in := r.of[number]; !in || len(r.of) > 1 && !only || r.own.IsZero() || now.Sub(r.own) < b.prober.policy.Alone {
		return false
	}
	r.own = now // the next one has its own time
	return true
}

// Forget says that an event was given up: it keeps no other one waiting any more.
func (b *Breaker) Forget(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.refusals.of, number)
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
		pause := wait.NextBackOff()
		if a.now.Sub(b.state.DownSince) < patience {
			pause = min(pause, probeLimit)
		}
		next = a.now.Add(max(pause, a.after))
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

// Fresh says that new events have come. A destination that fails is probed soon for them, however long it has failed, but not before the time that it has
// demanded.
func (b *Breaker) Fresh() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.DownSince.IsZero() {
		return
	}
	if soon := clock.Later(b.state.NotedAt.Add(probeLimit), b.floor); b.state.NotBefore.After(soon) {
		b.state.NotBefore = soon
		b.wake()
	}
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
