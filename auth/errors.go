package auth

import (
	"errors"
	"time"
)

// What an [Error] can be about. Each asks for a person's hand, and none goes away by trying again.
var (
	// ErrNoGrant means that nobody has logged in to the account yet, or that someone logged out.
	ErrNoGrant = errors.New("not logged in")
	// ErrReauthorize means that the provider refused the grant for good.
	ErrReauthorize = errors.New("login needed")
	// ErrOutcomeUnknown means that the reply to a refresh was lost and that there is no way to find out whether the
	// refresh token is spent.
	ErrOutcomeUnknown = errors.New("outcome of a refresh unknown")
	// ErrClientRefused means that the provider refused client_id or client_secret, and goes away when the config is
	// corrected.
	ErrClientRefused = errors.New("client refused")
	// ErrUnusable means that a grant is stored but damaged, readable by others or written by a newer relay.
	ErrUnusable = errors.New("stored grant not usable")
)

// Error is what every method of an [Account] returns. Its text is one line, says what to do, and holds no secret.
type Error struct {
	Account string
	Op      string    // what was being done
	Err     error     // why it did not work
	Fix     string    // what to do about it; may be empty
	RetryAt time.Time // not before this; zero when nothing was said
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Op + " " + e.Account + ": " + e.Err.Error()
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

// Unwrap gives the reason, which is or wraps one of this package's Err values where one applies.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether trying again is of no use until somebody has logged in, repaired the store or corrected the config.
func (e *Error) Permanent() bool {
	return errors.Is(e.Err, ErrNoGrant) || errors.Is(e.Err, ErrReauthorize) ||
		errors.Is(e.Err, ErrOutcomeUnknown) || errors.Is(e.Err, ErrClientRefused) || errors.Is(e.Err, ErrUnusable)
}

func permanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Permanent()
}

func loginCommand(account string) string { return "run: relay auth login " + account }
