// Package breaker decides when a delivery to a sink may start. It implements the circuit breaker and the limits of a
// sink, and stores the sink's state, which the operator can change too.
//
// It works on numbers, results and times, not on events. Start reading at [Breaker.Enter] and [Breaker.Leave]; [Keeper]
// connects a breaker to the state on disk.
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
	// tripAt is the number of failed events in a row, or of refusals in a row (see [pipeline.IsRefusal]), that opens
	// the breaker.
	tripAt = 3
	// tripAlike is the number of refusals in a row with the same code, see [pipeline.RefusalCode], that opens it.
	tripAlike = 2
	// patience is how long a failing destination is probed at least every probeLimit. After that, probes are rarer
	// unless new events arrive.
	patience   = 10 * time.Minute
	probeLimit = 12 * time.Second
)

// Breaker is the circuit breaker of a destination. It also enforces the limits on concurrent deliveries and their rate.
// It admits nothing while the sink is disabled, and single probes while the destination is down.
type Breaker struct {
	limits limits
	events eventQueue

	mu       sync.Mutex
	state    journal.SinkState
	prober   prober
	refusals refusals
	accepted uint64        // deliveries
	floor    time.Time     // the destination asked for silence until then
	outage   [2]time.Time  // start and end of the last outage
	changed  chan struct{} // closed when waiters should try again
	operator operator
}

// New makes the circuit breaker of a sink in the given state. A concurrency or rate of 0 is no limit.
func New(concurrency int, perSecond float64, probe Policy, state journal.SinkState) *Breaker {
	return &Breaker{
		limits: newLimits(concurrency, perSecond), state: state,
		prober: prober{policy: probe.WithDefaults()}, refusals: refusals{of: make(map[uint64]struct{})}, changed: make(chan struct{}),
	}
}

// refusals counts the events refused since the last accepted one.
type refusals struct {
	of    map[uint64]struct{}
	total int       // attempts
	since time.Time // time of the first one
	code  string    // common to all; empty: none, or different ones
	own   time.Time // since when all were refused as the events' own fault
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

// isOutage reports whether the refusals show that the destination is down. err is the latest one.
func (r *refusals) isOutage(err error) bool {
	return len(r.of) >= tripAt || r.total >= tripAt && pipeline.IsRefusal(err) || len(r.of) >= tripAlike && r.code != ""
}

func (r *refusals) clear() {
	clear(r.of)
	r.total, r.since, r.code, r.own = 0, time.Time{}, "", time.Time{}
}

// A Pass is the permission for one delivery. End it with [Breaker.Leave] or [Breaker.Abort].
type Pass struct {
	Probe    bool
	Accepted uint64 // deliveries that the destination had accepted before
}

// Enter waits for a pass. It reports false when ctx ends, or when hurry is closed and no pass is free.
func (b *Breaker) Enter(ctx context.Context, hurry <-chan struct{}) (Pass, bool) {
	for {
		if !b.waitAdmissible(ctx, hurry) || !b.limits.enter(ctx) {
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

// admit reports whether a delivery may start now. If it is a probe, admit claims the probe.
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

// waitAdmissible waits until a delivery might be admitted.
func (b *Breaker) waitAdmissible(ctx context.Context, hurry <-chan struct{}) bool {
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

// Leave ends a pass with the result of the delivery: err, or nil if it was accepted. deferred is true for a deferred
// event, whose failure says little about the destination.
func (b *Breaker) Leave(p Pass, number uint64, deferred bool, err error) {
	b.mu.Lock()
	now := time.Now()
	if p.Probe {
		b.prober.under = false
	}
	after, _ := pipeline.RetryDelay(err)
	if pipeline.IsUnavailable(err) {
		b.floor = clock.Later(b.floor, now.Add(after))
	}
	events := b.recordAttempt(attempt{p, number, deferred, now, after, err})
	if p.Probe || len(events) > 0 {
		b.wake()
	}
	b.events.add(events)
	b.mu.Unlock()
	b.limits.leave() // only now: the next delivery must see the new state
	if len(events) > 0 {
		b.report()
	}
}

// An attempt is the result of a finished delivery.
type attempt struct {
	Pass
	number   uint64
	deferred bool
	now      time.Time
	after    time.Duration // the destination asked for silence for this long
	err      error
}

// recordAttempt updates the breaker after an attempt. A success that was already on its way does not end a silence that the
// destination asked for.
func (b *Breaker) recordAttempt(a attempt) (events []event) {
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
		events = b.up() // it answers, although it refuses this event
	}
	if down := b.refused(a); down != nil {
		return down
	}
	return events
}

// disable records that the destination is gone.
func (b *Breaker) disable(a attempt) []event {
	if !b.state.DisabledSince.IsZero() { // another delivery has reported it
		return nil
	}
	b.state.DisabledSince, b.state.Reason, b.operator.gone = a.now.UTC(), a.err.Error(), true
	return []event{{kind: pipeline.AlertDisabled, since: a.now, reason: a.err.Error()}}
}

// refused records that the destination answered but refused this event. A row of refusals opens the breaker.
func (b *Breaker) refused(a attempt) []event {
	if a.deferred && !a.Probe {
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
	case !down && b.refusals.isOutage(a.err):
		b.state.Refusing = true
		return b.down(a, fmt.Errorf("%w (%d times in a row nothing was accepted)", a.err, b.refusals.total))
	}
	return nil
}

// NoteRefusal records the refusal of an event that used the pass of another one.
func (b *Breaker) NoteRefusal(number uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals.note(number, time.Now(), err)
}

// EnterMore waits until one more event may be delivered with the same pass. It reports false if ctx ends first.
func (b *Breaker) EnterMore(ctx context.Context) bool {
	return b.limits.rate == nil || b.limits.rate.Wait(ctx) == nil
}

// ShouldGiveUp reports whether to give up an event although nothing shows that the destination accepts others. That is so
// if for a long time (see [Policy]) all refusals blamed the event, and it is the only refused event or no other can be
// tried in its place.
func (b *Breaker) ShouldGiveUp(number uint64, only bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, r := time.Now(), &b.refusals
	if _, in := r.of[number]; !in || len(r.of) > 1 && !only || r.own.IsZero() || now.Sub(r.own) < b.prober.policy.Alone {
		return false
	}
	r.own = now // the next event gets its own time
	return true
}

// Forget records that an event was given up, so that it blocks no other one.
func (b *Breaker) Forget(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.refusals.of, number)
}

// Abort ends a pass whose delivery was canceled.
func (b *Breaker) Abort(p Pass) {
	b.limits.leave()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Probe {
		b.prober.under = false
		b.wake()
	}
}

// down records that the destination is down.
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
	case !a.Probe && a.after == 0: // it was already on its way when the first one failed
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

// up records that the destination works. It returns the event of that if it is new.
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

// wake makes waiters try again. b.mu is held.
func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// NotifyNewEvents records that new events have arrived. If the destination is down, it is probed soon for them, but not during a
// silence that it asked for.
func (b *Breaker) NotifyNewEvents() {
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

// WakeWaiters makes waiters try again when the lane has other events to probe with.
func (b *Breaker) WakeWaiters() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.DownSince.IsZero() {
		b.wake()
	}
}

// MayRetryEarly reports whether an event refused at that time need not wait for its own schedule: the destination is down, so
// that the event can be the probe, or was down then. The channel is closed when that changes.
func (b *Breaker) MayRetryEarly(refused time.Time) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	then := !refused.Before(b.outage[0]) && !refused.After(b.outage[1])
	return then || !b.state.DownSince.IsZero(), b.changed
}

// State returns the state, and a channel that is closed when it changes.
func (b *Breaker) State() (journal.SinkState, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.changed
}

// Failing reports whether the destination is down.
func (b *Breaker) Failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.state.DownSince.IsZero()
}

// Open reports whether deliveries are admitted.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.DisabledSince.IsZero() && b.state.DownSince.IsZero()
}

// Deliveries returns how many deliveries were accepted.
func (b *Breaker) Deliveries() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted
}
