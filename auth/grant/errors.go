package grant

import (
	"errors"
	"time"
)

// Why there is no token. Each asks for a person's hand, and none goes away by trying again.
var (
	// ErrNone means that nobody has logged in to the account yet, or that someone logged out.
	ErrNone = errors.New("not logged in")
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

// LockPatience is how long somebody waits for the lock of a grant: longer than any holder needs that is well, for a probe, a
// refresh, a request for the end of the grant, of half a minute each, and some disk.
const LockPatience = 95 * time.Second
