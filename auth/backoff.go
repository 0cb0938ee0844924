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
