// Package grant defines the grant of an account, which is the result of a login: its tokens, their expiry, its state,
// and the errors for a missing token.
package grant

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// State is the state of a grant.
type State string

// The states of a grant.
const (
	// Active means that the grant works, as far as known.
	Active State = "active"
	// ReauthorizeNeeded means that the provider refused the grant. Nothing is sent until a new login.
	ReauthorizeNeeded State = "reauthorize_needed"
	// RefreshOutcomeUnknown means that a refresh was sent and no usable reply is on disk. It is saved before every
	// refresh and replaced after it, so that it remains after a crash in between. The access token is served while it
	// is valid; the refresh token is sent again only after a probe.
	RefreshOutcomeUnknown State = "refresh_outcome_unknown"

	// Ready and ClientRefused are the states of an account with client credentials that has no token. They are never
	// stored.
	//
	// Ready means that the first token is requested when needed. No login is required.
	Ready State = "ready"
	// ClientRefused means that the provider refused client_id or client_secret. The account sends nothing more until
	// the config changes. A token that another process stores with a better config is served.
	ClientRefused State = "client_refused"
)

// A Grant is the result of a login: the tokens of one account and their properties. It is a plain value and safe to
// copy.
type Grant struct {
	Provider      string // name of the provider that issued it, and the only one it is sent to
	AccessToken   secret.String
	RefreshToken  secret.String // may be empty: the grant then ends with its access token
	TokenType     string
	Scope         string
	ObtainedAt    time.Time // when the access token arrived
	Expiry        time.Time // of the access token
	RefreshExpiry time.Time // of the refresh token; zero if unknown
	Generation    int64     // counts the access tokens of an account, from 1
	State         State
	// Reason says why the state is not Active, or what is in doubt although it is. It has no secret.
	Reason string
	Login  LoginMark
}

// Valid reports whether the access token works at that time, as far as known.
func (g Grant) Valid(now time.Time) bool {
	return g.State != ReauthorizeNeeded && !g.AccessToken.Empty() && now.Before(g.Expiry)
}

// Share returns a number in [0, 1) derived from the account and the generation, the same in every process. It spreads
// accounts evenly.
func (g Grant) Share(account string) float64 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", account, g.Generation)
	return float64(h.Sum32()) / (1 << 32)
}

// ValidAccount reports whether name is a valid account name: [a-z0-9][a-z0-9_-]{0,62}. It is also used as a file name.
func ValidAccount(name string) bool {
	for i, r := range []byte(name) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && (i == 0 || r != '_' && r != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 63
}
