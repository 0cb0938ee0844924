package pipeline

import (
	"context"
	"errors"
	"time"
)

// Sink is a destination of events.
//
// Deliver hands over records of one account, oldest first, and returns how many of them, from the front, the
// destination has accepted for good. It takes as many as suit the destination, at least one unless it fails: a sink that
// sends one request an event delivers the first and returns 1. When accepted is 0 the error says why the first
// record was not accepted, and steers what happens next: [Permanent] sets that record aside as a dead letter,
// [RetryAfter] waits as long as the destination asked, any other error is retried with growing delays. With accepted
// greater than 0 an error is ignored: what is left is handed over again.
//
// The lane calls Deliver from several goroutines at a time, but for one account from one only. Deliver returns soon
// after ctx ends. The records are not kept after it returned.
type Sink interface {
	Deliver(ctx context.Context, records []Record) (accepted int, err error)
	// Close releases what the sink holds. Nothing is delivered after it.
	Close() error
}

// ErrSinkClosed says that the destination is gone and that nobody waits for more, as when the reader of a pipe has
// left. The lane stops, and [Lane.Run] returns this error.
var ErrSinkClosed = errors.New("sink closed by its reader")

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can mend: the record becomes a dead letter at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err was marked by [Permanent].
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an error whose retry must not come before d has passed, as an HTTP Retry-After demands
// (RFC 9110, section 10.2.3).
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

// RetryDelay returns the delay given to [RetryAfter], and whether err carries one.
func RetryDelay(err error) (time.Duration, bool) {
	var r *retryAfterError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.after, true
}
