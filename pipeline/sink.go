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
// sends one request an event delivers the first and returns 1. When accepted is 0 the error says why the first record
// was not accepted, and steers what happens next: [Permanent] and [Denied] make that record a dead letter if others are accepted, [Unavailable] and
// [Unanswered] stop the lane until a probe succeeds, [Gone] until the operator enables the sink again, [RetryAfter] waits as
// long as the destination asked, and any other error is the record's own, which is retried with growing delays. With
// accepted greater than 0 an error is ignored: what is left is handed over again.
//
// The lane calls Deliver from several goroutines at a time, but for one account from one only. Deliver returns soon
// after ctx ends. The records are not kept after it returned.
type Sink interface {
	Deliver(ctx context.Context, records []Record) (accepted int, err error)
	// Close releases what the sink holds. Nothing is delivered after it.
	Close() error
}

// Together is implemented by a [Sink] that can take records of all accounts together. If it reports true, the lane keeps one queue for
// all of them: it hands over records in the order of the journal, up to 1,000 at a time, and never has two records of one account
// in different calls of Deliver at the same time. A record that the destination refuses then holds up the ones behind
// it, whatever their account, until it steps aside.
type Together interface {
	Together() bool
}

// Resumer is implemented by a [Sink] whose destination keeps, with each event, its number in relay's journal. Its lane asks
// once, before it delivers anything, and goes by the answer rather than by its own cursor, for such a destination acknowledges before
// it has synced: when the machine went down, the cursor may be ahead of what the destination still holds.
//
// LastAccepted returns the number ([Record.Seq]) and the event's id ([Record.ID]) of the last message that the destination really holds.
// Everything that was handed over before that message was, and was accepted, is held too. Then:
//
//   - ok is true: delivery goes on with the first record after number, wherever the cursor stands. Below number the cursor
//     keeps what is its own: records that had stepped aside and wait for a retry stay open, and so do numbers that are missing. What had
//     become a dead letter above number is not delivered again.
//   - ok is false: the destination cannot know. It is not relay's own; or it holds nothing, be it new, purged, or emptied by age; or what it holds
//     came from someone else or from a relay that sent no numbers. Then the cursor counts, as for any other sink.
//   - the journal holds another event under that number, which shows in the id, or has never given it: it is not the journal that
//     the destination was filled from. Then the cursor counts too.
//
// Replays, tests and digests are records with numbers of their own, so they need no rule of their own. Numbers rise from one message to the next but
// for a record that was tried again after later ones had been accepted. If the last message is such a record, a few records come again,
// which the destination refuses as copies.
//
// LastAccepted waits for a destination that is away, until ctx ends. An error says that it cannot be asked now; the lane asks again later,
// and delivers nothing until it has an answer.
type Resumer interface {
	LastAccepted(ctx context.Context) (number uint64, id string, ok bool, err error)
}

// ErrSinkClosed says that the destination is gone and that nobody waits for more, as when the reader of a pipe has
// left. The lane stops, and ends with this error.
var ErrSinkClosed = errors.New("sink closed by its reader")

// Attempt is one try to deliver events, as the log of attempts keeps it. It holds no secret.
type Attempt struct {
	Time     time.Time     `json:"time"` // when it began
	Sink     string        `json:"sink"`
	Events   []string      `json:"events,omitempty"`   // their ids
	Endpoint string        `json:"endpoint,omitempty"` // scheme and host of the destination, or what else names it
	Status   int           `json:"status,omitempty"`   // of the HTTP answer; 0 if there was none
	Latency  time.Duration `json:"latency"`            // until the end of the answer, in nanoseconds
	Answer   string        `json:"answer,omitempty"`   // the first KiB of it, printable and without secrets
	Error    string        `json:"error,omitempty"`    // empty: the events were accepted
}

type unavailableError struct {
	err     error
	suspect bool // the record may be why
}

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// Unavailable marks an error of the destination as a whole, such as a refused connection or an exhausted rate limit: nothing
// else would be accepted either. With [RetryAfter] around it or in it the lane waits at least that long.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err: err}
}

// Unanswered marks an error as [Unavailable] does, when the destination took the record and did not answer: most often it is
// down, but the record itself may be what it breaks on. If it keeps taking others, the record steps aside.
func Unanswered(err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err: err, suspect: true}
}

// IsUnavailable reports whether err was marked by [Unavailable] or [Unanswered].
func IsUnavailable(err error) bool {
	var u *unavailableError
	return errors.As(err, &u)
}

// IsUnanswered reports whether err was marked by [Unanswered].
func IsUnanswered(err error) bool {
	var u *unavailableError
	return errors.As(err, &u) && u.suspect
}

type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// Gone marks the word of a destination that it is there no more, such as HTTP status 410 (RFC 9110, section 15.5.11): the
// sink is disabled, and the record stays for the day it is enabled again.
func Gone(err error) error {
	if err == nil {
		return nil
	}
	return &goneError{err}
}

// IsGone reports whether err was marked by [Gone].
func IsGone(err error) bool {
	var g *goneError
	return errors.As(err, &g)
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
