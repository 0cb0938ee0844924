package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"
)

// ProbePolicy says how long a lane waits between two probes of a destination that fails as a whole: growing times, each
// varied by a fifth either way.
type ProbePolicy struct{ Initial, Max time.Duration }

// WithDefaults fills in what is zero: 1 s and 1 min.
func (p ProbePolicy) WithDefaults() ProbePolicy {
	if p.Initial == 0 {
		p.Initial = time.Second
	}
	if p.Max == 0 {
		p.Max = time.Minute
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// tripAt is how many events in a row a destination refuses, none accepted meanwhile, until it counts as failing as a whole.
const tripAt = 3

// A gate stands before a destination. It lets as many deliveries at a time and in a second through as the operator allows, none
// while the sink is disabled, and one now and then while the destination fails as a whole: a circuit breaker.
type gate struct {
	probe  ProbePolicy
	slots  chan struct{} // nil: any number
	limit  *rate.Limiter // nil: any rate
	notify func(gateEvent)

	telling sync.Mutex // held by the one who notifies, so that events are told in their order

	mu       sync.Mutex
	events   []gateEvent // that nobody was told of yet
	state    SinkState
	probing  bool
	probes   int // that failed since it is down
	wait     *backoff.ExponentialBackOff
	failing  map[uint64]struct{} // events refused since one was accepted
	since    time.Time           // the first of them
	accepted uint64              // deliveries
	floor    time.Time           // the destination has demanded to be left alone until then
	outage   [2]time.Time        // beginning and end of the last one
	changed  chan struct{}       // closed when one who waits should look again

	gone     bool    // the destination's word that it is gone is not on disk yet
	revision uint64  // of the state on disk that holds the destination's latest word
	missed   *ruling // what the operator said meanwhile
}

// A ruling is what the operator says by the state on disk.
type ruling struct {
	state    SinkState
	revision uint64
}

// A gateEvent is a change for the better or the worse.
type gateEvent struct {
	kind   AlertKind // AlertDown, AlertDisabled or AlertRecovered; empty: only the time of the next probe has changed
	probes int       // that failed
	since  time.Time // when it began to fail
	reason string
}

func newGate(concurrency int, perSecond float64, probe ProbePolicy, state SinkState, notify func(gateEvent)) *gate {
	g := &gate{
		probe: probe.WithDefaults(), notify: notify, state: state,
		failing: make(map[uint64]struct{}), changed: make(chan struct{}),
	}
	if concurrency > 0 {
		g.slots = make(chan struct{}, concurrency)
	}
	if perSecond > 0 {
		g.limit = rate.NewLimiter(rate.Limit(perSecond), 1)
	}
	return g
}

// A pass is the right to deliver once. It is given back with [gate.leave].
type pass struct {
	probe    bool
	accepted uint64 // how many deliveries the destination had accepted before
}

// enter waits for a pass. It reports false when ctx ends, or when hurry is closed and the way is not free.
func (g *gate) enter(ctx context.Context, hurry <-chan struct{}) (pass, bool) {
	for {
		if !g.passable(ctx, hurry) {
			return pass{}, false
		}
		if g.slots != nil {
			select {
			case g.slots <- struct{}{}:
			case <-ctx.Done():
				return pass{}, false
			}
		}
		if g.limit != nil && g.limit.Wait(ctx) != nil {
			g.release()
			return pass{}, false
		}
		g.mu.Lock()
		if p, ok := g.admit(time.Now()); ok {
			g.mu.Unlock()
			return p, true
		}
		g.mu.Unlock()
		g.release()
	}
}

func (g *gate) release() {
	if g.slots != nil {
		<-g.slots
	}
}

// admit reports whether a delivery may begin now, and takes the probe if it is one.
func (g *gate) admit(now time.Time) (pass, bool) {
	switch {
	case !g.state.DisabledSince.IsZero():
		return pass{}, false
	case g.state.DownSince.IsZero():
		return pass{accepted: g.accepted}, true
	case g.probing || now.Before(g.state.NotBefore):
		return pass{}, false
	}
	g.probing = true
	return pass{probe: true, accepted: g.accepted}, true
}

// passable waits until a delivery might be admitted.
func (g *gate) passable(ctx context.Context, hurry <-chan struct{}) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		g.mu.Lock()
		changed, wait := g.changed, time.Duration(-1)
		switch {
		case !g.state.DisabledSince.IsZero() || g.probing:
		case g.state.DownSince.IsZero():
			wait = 0
		default:
			wait = max(time.Until(g.state.NotBefore), 0)
		}
		g.mu.Unlock()
		if wait == 0 {
			return true
		}
		if !await(ctx, hurry, changed, wait) {
			return false
		}
	}
}

// await waits until changed is closed or, if wait is not negative, has passed. It reports false if ctx ended or hurry was closed
// before.
func await(ctx context.Context, hurry, changed <-chan struct{}, wait time.Duration) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-timeout:
	case <-changed:
	case <-hurry:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// leave gives a pass back and says what became of the delivery of event seq: err, or nil if it was accepted. aside says that the
// event waits on its own schedule, so that its failure says little of the destination.
func (g *gate) leave(p pass, seq uint64, aside bool, err error) {
	g.mu.Lock()
	var event *gateEvent
	now := time.Now()
	if p.probe {
		g.probing = false
	}
	after, _ := RetryDelay(err)
	if IsUnavailable(err) {
		g.floor = later(g.floor, now.Add(after))
	}
	// What the answer to one that was on its way already does not take back.
	obeying := now.Before(g.floor)
	switch {
	case err == nil:
		g.accepted++
		clear(g.failing)
		g.since = time.Time{}
		if !obeying {
			event = g.up()
		}
	case IsGone(err) && !g.state.DisabledSince.IsZero(): // it was on its way when another was told so
	case IsGone(err):
		g.state.DisabledSince, g.state.Reason, g.gone = now.UTC(), err.Error(), true
		event = &gateEvent{kind: AlertDisabled, since: now, reason: err.Error()}
	case IsUnavailable(err):
		event = g.down(p, now, after, err)
	case !g.state.Refusing && !obeying:
		event = g.up()
		fallthrough
	default: // answered, but this event was refused
		if p.probe && g.state.Refusing {
			event = g.down(p, now, after, err)
			break
		}
		if aside || IsPermanent(err) {
			break
		}
		if len(g.failing) == 0 {
			g.since = now
		}
		if g.failing[seq] = struct{}{}; len(g.failing) >= tripAt && g.state.DownSince.IsZero() {
			g.state.Refusing = true
			event = g.down(p, now, after, fmt.Errorf("%d events in a row were refused, the last one so: %w", len(g.failing), err))
		}
	}
	if p.probe || event != nil {
		g.wake()
	}
	if event != nil {
		g.events = append(g.events, *event)
	}
	g.mu.Unlock()
	g.release() // not before: the next one is to see what this one was told
	g.tell()
}

// tell notifies of the events that nobody was told of yet, in their order.
func (g *gate) tell() {
	g.telling.Lock()
	defer g.telling.Unlock()
	for {
		g.mu.Lock()
		if len(g.events) == 0 {
			g.mu.Unlock()
			return
		}
		event := g.events[0]
		g.events = g.events[1:]
		g.mu.Unlock()
		g.notify(event)
	}
}

// abort gives a pass back when the delivery was broken off from this side.
func (g *gate) abort(p pass) {
	g.release()
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.probe {
		g.probing = false
		g.wake()
	}
}

// down notes that the destination fails as a whole.
func (g *gate) down(p pass, now time.Time, after time.Duration, err error) *gateEvent {
	event := &gateEvent{reason: err.Error()}
	if g.state.DownSince.IsZero() {
		g.state.DownSince = now.UTC()
		if !g.since.IsZero() {
			g.state.DownSince = g.since.UTC()
		}
		g.probes, g.wait = 0, nil
		event.kind = AlertDown
	} else if !p.probe && after == 0 { // it was on its way when the first one failed
		return nil
	} else if p.probe {
		g.probes++
	}
	if g.wait == nil {
		g.wait = backoff.NewExponentialBackOff(backoff.WithInitialInterval(g.probe.Initial), backoff.WithMaxInterval(g.probe.Max),
			backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
	}
	next := now.Add(after)
	if p.probe || event.kind == AlertDown {
		next = now.Add(max(g.wait.NextBackOff(), after))
	}
	if next.After(g.state.NotBefore) {
		g.state.NotBefore, g.state.NotedAt = next, now
	}
	g.state.Reason = err.Error()
	event.probes, event.since = g.probes, g.state.DownSince
	return event
}

// up notes that the destination works, and returns the event of that if it is news.
func (g *gate) up() *gateEvent {
	if g.state.DownSince.IsZero() {
		return nil
	}
	event := &gateEvent{kind: AlertRecovered, probes: g.probes, since: g.state.DownSince, reason: g.state.Reason}
	g.outage = [2]time.Time{g.state.DownSince, time.Now()}
	g.state.DownSince, g.state.NotBefore, g.state.NotedAt = time.Time{}, time.Time{}, time.Time{}
	if g.state.DisabledSince.IsZero() {
		g.state.Reason = ""
	}
	g.state.Refusing = false
	return event
}

// wake makes those who wait look again. g.mu is held.
func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// nudge makes those look again who wait for an end of the outage, when the lane has other events to probe with.
func (g *gate) nudge() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.state.DownSince.IsZero() {
		g.wake()
	}
}

// premature reports whether an event that was refused then need not wait for its own time: the destination fails as a whole,
// so that the event can be the probe, or failed as a whole then. The channel is closed when that changes.
func (g *gate) premature(refused time.Time) (bool, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	then := !refused.Before(g.outage[0]) && !refused.After(g.outage[1])
	return then || !g.state.DownSince.IsZero(), g.changed
}

// unsaved returns the state, and whether it holds a word of the destination that is not on disk.
func (g *gate) unsaved() (state SinkState, gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.gone
}

// saved says that what [gate.unsaved] returned is on disk, as that revision.
func (g *gate) saved(revision uint64, gone bool) {
	if !gone { // then it holds what the operator said last, which is still to be obeyed
		return
	}
	g.mu.Lock()
	missed := g.missed
	g.revision, g.gone, g.missed = revision, false, nil
	g.mu.Unlock()
	if missed != nil {
		g.obey(missed.state, missed.revision)
	}
}

// obey does as the operator says, who disables and enables the sink by its state on disk. What is older than what the gate
// itself has put there is not heeded.
func (g *gate) obey(s SinkState, revision uint64) {
	g.mu.Lock()
	if revision <= g.revision {
		g.mu.Unlock()
		return
	}
	if g.gone {
		g.missed = &ruling{s, revision}
		g.mu.Unlock()
		return
	}
	since, reason, was := s.DisabledSince, s.Reason, g.state.DisabledSince
	g.state.DisabledSince = since
	if !since.IsZero() {
		g.state.Reason = reason
	} else if g.state.DownSince.IsZero() {
		g.state.Reason = ""
	}
	switch {
	case was.IsZero() && !since.IsZero():
		g.events = append(g.events, gateEvent{kind: AlertDisabled, since: since, reason: reason})
	case !was.IsZero() && since.IsZero():
		g.events = append(g.events, gateEvent{kind: AlertRecovered, since: was})
	}
	g.wake()
	g.mu.Unlock()
	g.tell()
}

// now returns the state, and a channel that is closed when it changes.
func (g *gate) now() (SinkState, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.changed
}

// open reports whether deliveries go on.
func (g *gate) open() bool {
	state, _ := g.now()
	return state.DisabledSince.IsZero() && state.DownSince.IsZero()
}

// deliveries is how many were accepted.
func (g *gate) deliveries() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.accepted
}
