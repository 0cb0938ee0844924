package auth

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// gate keeps refresh requests apart while they fail, however many callers there are.
type gate struct {
	waits *backoff.ExponentialBackOff
	until time.Time // closed before; zero when open
	why   error     // what closed it
}

func newGate() gate {
	return gate{waits: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(2*time.Second),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxInterval(15*time.Minute),
		backoff.WithMaxElapsedTime(0),
	)}
}

func (g *gate) closed(now time.Time) bool { return now.Before(g.until) }

// shut closes the gate for the next step of the backoff, or for as long as the provider asked when that is longer.
func (g *gate) shut(now time.Time, after time.Duration, why error) {
	g.until, g.why = now.Add(max(g.waits.NextBackOff(), after)), why
}

func (g *gate) open() {
	g.waits.Reset()
	g.until, g.why = time.Time{}, nil
}

const (
	// refusedFor is how long an endpoint may turn a grant away without naming it before that counts as its word.
	refusedFor = time.Hour
	// refusedTimes is how often it must have been asked by then.
	refusedTimes = 4
)

// refusals is a row of rejected requests, uninterrupted by any other failure.
type refusals struct {
	since time.Time // by the monotonic clock, which a jump of the other does not move
	times int
	ours  bool // all of them were errors of an API
}

// add takes a failure into account.
func (r *refusals) add(f *failure, now time.Time) {
	switch {
	case f.kind != rejected:
		*r = refusals{}
		return
	case r.times == 0:
		*r = refusals{since: now, ours: true}
	}
	r.times++
	r.ours = r.ours && f.ours
}

// lasting reports whether the row is longer than trouble at a provider usually takes.
func (r *refusals) lasting(now time.Time) bool {
	return r.times >= refusedTimes && now.Sub(r.since) > refusedFor
}

// notices remembers what was logged last about a subject, so that a repeated failure is logged when it changes.
type notices map[string]string

// change records text and reports whether it is new.
func (n *notices) change(subject, text string) bool {
	if *n == nil {
		*n = notices{}
	}
	if (*n)[subject] == text {
		return false
	}
	(*n)[subject] = text
	return true
}

// forget ends a subject and reports whether there was one.
func (n notices) forget(subject string) bool {
	_, was := n[subject]
	delete(n, subject)
	return was
}
