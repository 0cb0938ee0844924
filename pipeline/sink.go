package pipeline

import (
	"context"
	"errors"
	"time"
)

// Sink is a destination of events.
//
// Deliver sends records of one account, oldest first. It returns how many of them, from the front, the destination has
// accepted for good. It may send only some, but at least one: a sink with one request per event sends the first and
// returns 1.
//
// If accepted is 0, the error says why the first record was not accepted, and decides what happens next. [Permanent]
// and [Denied] make that record a dead letter if others are accepted. [Unavailable] and [Unanswered] stop the lane
// until a probe succeeds, and [Gone] until the operator enables the sink. [RetryAfter] waits as long as the destination
// asked. Any other error concerns only this record, which is retried with growing delays. If accepted is greater than
// 0, the error is ignored and the rest is sent again.
//
// The lane calls Deliver concurrently, but for one account sequentially. Deliver must return soon after ctx ends, and
// must not keep the records afterwards.
type Sink interface {
	Deliver(ctx context.Context, records []Record) (accepted int, err error)
	// Close releases the resources of the sink. Deliver is not called afterwards.
	Close() error
}

// Batcher is implemented by a [Sink] that can take records of all accounts in one call. If it reports true, the lane
// has a single queue for all accounts. It sends records in the order of the journal, up to 1,000 at a time, and never
// has two records of one account in concurrent calls of Deliver. A refused record blocks all later ones, of any
// account, until it is deferred.
type Batcher interface {
	BatchesAccounts() bool
}

// Resumer is implemented by a [Sink] whose destination stores, with each event, its number in relay's journal. Such a
// destination acknowledges before it syncs, so after a crash the cursor may be ahead of it. Its lane asks
// once, before it delivers anything, and follows the answer instead of its cursor.
//
// LastAccepted returns the number ([Record.Seq]) and event id ([Record.ID]) of the last message that the destination
// durably holds. Everything accepted before that message is held too. Then:
//
//   - ok is true: delivery continues with the first record after number, wherever the cursor stands. Below number the cursor
//     keeps its open numbers (deferred records) and missing numbers. Dead letters above number are not delivered again.
//   - ok is false: the destination cannot tell. It is not relay's own; or it is empty; or its content came from someone else or
//     without numbers. Then the cursor decides, as for any other sink.
//   - the journal never gave that number, or holds another event there, as the id shows: the destination was filled from
//     another journal. Then the cursor decides, too.
//
// Replays, tests and digests are records with numbers of their own, so they need no special rule. Numbers rise from one
// message to the next, except for a record that was retried after later ones were accepted. If the last message is such
// a record, a few records are sent again, which the destination rejects as duplicates.
//
// LastAccepted waits for an unreachable destination until ctx ends. After an error the lane asks again later, and
// delivers nothing before it has an answer.
type Resumer interface {
	LastAccepted(ctx context.Context) (number uint64, id string, ok bool, err error)
}

// ErrSinkClosed means that the destination is gone and nobody waits for more, as when the reader of a pipe has exited.
// The lane stops, and returns this error.
var ErrSinkClosed = errors.New("sink closed by its reader")

// Attempt is one attempt to deliver events. It holds no secret.
type Attempt struct {
	Time     time.Time     `json:"time"` // when it began
	Sink     string        `json:"sink"`
	Events   []string      `json:"events,omitempty"`   // their ids
	Account  string        `json:"account,omitempty"`  // of the events
	Endpoint string        `json:"endpoint,omitempty"` // scheme and host of the destination, or another name for it
	Status   int           `json:"status,omitempty"`   // of the HTTP answer; 0 if there was none
	Latency  time.Duration `json:"latency"`            // until the end of the answer, in nanoseconds
	Answer   string        `json:"answer,omitempty"`   // the first KiB of it, printable and without secrets
	Error    string        `json:"error,omitempty"`    // empty: the events were accepted
}

// Covers sets the events of the attempt, which are all of one account.
func (a *Attempt) Covers(records ...Record) {
	a.Events = make([]string, len(records))
	for i := range records {
		a.Events[i], a.Account = records[i].ID, records[i].Account
	}
}

type unavailableError struct {
	err     error
	suspect bool // the record may be the cause
}

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// Unavailable marks an error of the destination as a whole, such as a refused connection or an exhausted rate limit: it
// would not accept other records either. Combined with [RetryAfter], the lane waits at least that long.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err: err}
}

// Unanswered marks an error like [Unavailable], when the destination got the record and did not answer. Most often it
// is down, but the record may be what it fails on. If it accepts others, the record is deferred.
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

// Gone marks a report of the destination that it no longer exists, such as HTTP status 410 (RFC 9110, section 15.5.11).
// The sink is disabled, and the record waits until it is enabled again.
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

// RetryAfter marks an error that must not be retried before d has passed, as HTTP Retry-After demands (RFC 9110,
// section 10.2.3).
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

// RetryDelay returns the delay set with [RetryAfter]. It reports false if there is none.
func RetryDelay(err error) (time.Duration, bool) {
	var r *retryAfterError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.after, true
}
