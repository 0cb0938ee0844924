package auth

import (
	"errors"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
)

// Error is what every method of an [Account] returns. Its text is one line, says what to do, and holds no secret.
type Error struct {
	Account string
	Op      string     // what was being done
	Err     error      // why it did not work
	Fix     advice.Fix // what to do about it; may be empty
	RetryAt time.Time  // not before this; zero when nothing was said
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Op + " " + e.Account + ": " + e.Err.Error()
	if !e.Fix.Empty() {
		text += "; " + e.Fix.String()
	}
	return text
}

// Unwrap gives the reason, which is or wraps one of the Err values of the package grant where one applies.
func (e *Error) Unwrap() error { return e.Err }

// Advice implements [advice.Adviser].
func (e *Error) Advice() advice.Fix { return e.Fix }

// Permanent reports whether trying again is of no use until somebody has logged in, repaired the store or corrected the config.
func (e *Error) Permanent() bool {
	return errors.Is(e.Err, grant.ErrNone) || errors.Is(e.Err, grant.ErrReauthorize) ||
		errors.Is(e.Err, grant.ErrOutcomeUnknown) || errors.Is(e.Err, grant.ErrClientRefused) || errors.Is(e.Err, grant.ErrUnusable)
}

func permanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Permanent()
}
