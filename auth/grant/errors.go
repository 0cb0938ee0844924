package grant

import (
	"errors"
	"time"
)

// Reasons why there is no token. A person must act on each of them; retrying does not help.
var (
	// ErrNone means that nobody has logged in to the account, or that somebody logged out.
	ErrNone = errors.New("not logged in")
	// ErrReauthorize means that the provider refused the grant for good.
	ErrReauthorize = errors.New("login needed")
	// ErrOutcomeUnknown means that the reply to a refresh was lost, and that relay cannot find out whether the refresh
	// token was consumed.
	ErrOutcomeUnknown = errors.New("outcome of a refresh unknown")
	// ErrClientRefused means that the provider refused client_id or client_secret. Correct the config.
	ErrClientRefused = errors.New("client refused")
	// ErrUnusable means that the stored grant is damaged, readable by others, or written by a newer relay.
	ErrUnusable = errors.New("stored grant not usable")
)

// LockPatience is how long to wait for the lock of a grant: longer than a working holder needs for a probe, a refresh
// and a revocation, of half a minute each, and disk writes.
const LockPatience = 95 * time.Second
