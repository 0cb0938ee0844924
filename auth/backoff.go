package auth

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// retry spaces out refresh requests while they fail, however many callers there are.
type retry struct {
	waits *backoff.ExponentialBackOff
	until time.Time // send nothing before; zero if nothing failed
	why   error     // the last failure
}

func newRetry() retry {
	return retry{waits: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(2*time.Second),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxInterval(15*time.Minute),
		backoff.WithMaxElapsedTime(0),
	)}
}

func (r *retry) waiting(now time.Time) bool { return now.Before(r.until) }

// failed waits for the next step of the backoff, or for the delay that the provider asked for if that is longer.
func (r *retry) failed(now time.Time, after time.Duration, why error) {
	r.until, r.why = now.Add(max(r.waits.NextBackOff(), after)), why
}

func (r *retry) reset() {
	r.waits.Reset()
	r.until, r.why = time.Time{}, nil
}

// notices remembers the last logged text about each subject, so that a repeated failure is logged only when it changes.
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

// forget removes a subject and reports whether it was there.
func (n notices) forget(subject string) bool {
	_, was := n[subject]
	delete(n, subject)
	return was
}
