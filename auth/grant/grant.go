// Package grant is what a login brings: the tokens of an account, what is known about them, and where they stand in their life.
package grant

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// State is where a grant stands in its life.
type State string

// The states of a grant.
const (
	// Active: the grant works as far as anybody knows.
	Active State = "active"
	// ReauthorizeNeeded: the provider refused the grant. Nothing is sent until a new login.
	ReauthorizeNeeded State = "reauthorize_needed"
	// RefreshOutcomeUnknown: a refresh was sent and no usable answer is on disk. It is written before every
	// refresh request and replaced by what came of it, so that a crash in between leaves the truth behind. The
	// access token is served while it lasts; the refresh token goes out again only after a probe.
	RefreshOutcomeUnknown State = "refresh_outcome_unknown"

	// Ready and ClientRefused are the states of an account with client credentials before it has a token. They are never stored.
	//
	// Ready: the first token is asked for when one is needed. Nobody has to log in.
	Ready State = "ready"
	// ClientRefused: the provider refused client_id or client_secret. The account sends nothing more: the config has to
	// change. A token that somebody else stores with a better config is served.
	ClientRefused State = "client_refused"
)

// A Grant is what a login brought: the tokens of one account and what is known about them.
type Grant struct {
	Provider      string // name of the provider that issued it; it is sent to no other
	AccessToken   secret.String
	RefreshToken  secret.String // empty when the provider gave none: the grant then ends with its access token
	TokenType     string
	Scope         string
	ObtainedAt    time.Time // when the access token arrived
	Expiry        time.Time // of the access token
	RefreshExpiry time.Time // of the refresh token; zero when unknown
	Generation    int64     // counts the access tokens of an account, from 1
	State         State
	// Reason says why the state is not Active, or what is in doubt about a grant that is. It holds no secret.
	Reason string
	Login  LoginMark
}

// Valid reports whether the access token works at that time, as far as anybody knows.
func (g Grant) Valid(now time.Time) bool {
	return g.State != ReauthorizeNeeded && !g.AccessToken.Empty() && now.Before(g.Expiry)
}

// Share is a number from 0 to 1, another for every account and generation, and the same in every process.
func (g Grant) Share(account string) float64 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", account, g.Generation)
	return float64(h.Sum32()) / (1 << 32)
}

// ValidAccount reports whether name can be that of an account: [a-z0-9][a-z0-9_-]{0,62}. It is the name of a file, too.
func ValidAccount(name string) bool {
	for i, r := range []byte(name) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && (i == 0 || r != '_' && r != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 63
}
