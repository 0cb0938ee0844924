package auth

import (
	"errors"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
)

// Error is the error of every method of [Account]. Its text is one line, says how to fix the problem, and has no
// secret.
type Error struct {
	Account string
	Op      string     // the operation that failed
	Err     error      // the reason
	Fix     advice.Fix // may be empty
	RetryAt time.Time  // when to try again; zero if unknown
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Op + " " + e.Account + ": " + e.Err.Error()
	if !e.Fix.Empty() {
		text += "; " + e.Fix.String()
	}
	return text
}

// Unwrap returns the reason. If one applies, it is or wraps an Err value of package grant.
func (e *Error) Unwrap() error { return e.Err }

// Advice implements [advice.Adviser].
func (e *Error) Advice() advice.Fix { return e.Fix }

// Permanent reports whether retrying is useless until somebody logs in, repairs the store or corrects the config.
func (e *Error) Permanent() bool {
	return errors.Is(e.Err, grant.ErrNone) || errors.Is(e.Err, grant.ErrReauthorize) ||
		errors.Is(e.Err, grant.ErrOutcomeUnknown) || errors.Is(e.Err, grant.ErrClientRefused) || errors.Is(e.Err, grant.ErrUnusable)
}

func permanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Permanent()
}
