package auth

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

// Token is an access token that is on disk.
type Token struct {
	AccessToken secret.String
	Expiry      time.Time
	Generation  int64 // hand it to [Account.Refresh] when the token is refused
	Login       LoginMark

	obtained time.Time
}

// Status is what may be shown about a grant. It holds no secret. Expiry and RefreshExpiry are zero once the grant has ended.
type Status struct {
	Account       string    `json:"account"`
	Provider      string    `json:"provider"`
	State         State     `json:"state"`
	Reason        string    `json:"reason,omitempty"`
	ObtainedAt    time.Time `json:"obtained_at,omitzero"`
	Expiry        time.Time `json:"expiry,omitzero"`
	RefreshExpiry time.Time `json:"refresh_expiry,omitzero"`
	Refreshable   bool      `json:"refreshable"`
	Generation    int64     `json:"generation"`
	Fix           string    `json:"fix,omitempty"` // what a person has to do; empty when nothing
}

func (g Grant) token() Token {
	return Token{AccessToken: g.AccessToken, Expiry: g.Expiry, Generation: g.Generation, Login: g.Login, obtained: g.ObtainedAt}
}

func (g Grant) valid(now time.Time) bool {
	return g.State != ReauthorizeNeeded && !g.AccessToken.Empty() && now.Before(g.Expiry)
}

// margin is how long before the expiry of g a refresh is due.
func (g Grant) margin(p Provider) time.Duration {
	return min(p.Margin, max(0, g.Expiry.Sub(g.ObtainedAt))/4)
}

// due reports whether a caller should get another token than that of g.
func (g Grant) due(p Provider, now time.Time) bool {
	return !now.Before(g.Expiry.Add(-g.margin(p))) || g.fromFuture(p, now)
}

// fromFuture reports that the clock was put back since g arrived, by so much that its expiry means nothing.
func (g Grant) fromFuture(p Provider, now time.Time) bool {
	return g.ObtainedAt.Sub(now) > max(time.Minute, g.margin(p))
}

// early is how much ahead of the margin the background refreshes: up to a quarter of it, so that many accounts that logged
// in together do not refresh together.
func (g Grant) early(account string, p Provider) time.Duration {
	return time.Duration(float64(g.margin(p)) / 4 * g.share(account))
}

// share is a number from 0 to 1, another for every account and generation, and the same in every process.
func (g Grant) share(account string) float64 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", account, g.Generation)
	return float64(h.Sum32()) / (1 << 32)
}

// granted is the grant that reply makes out of old, which is the zero Grant at a login.
func granted(old Grant, r reply, p Provider, now time.Time) Grant {
	now = now.Round(0).UTC() // The monotonic reading means nothing on disk.
	g := Grant{
		Provider:      p.Name,
		AccessToken:   r.access,
		RefreshToken:  r.refresh,
		TokenType:     r.tokenType,
		Scope:         r.scope,
		ObtainedAt:    now,
		Expiry:        now.Add(p.Lifetime),
		RefreshExpiry: old.RefreshExpiry,
		Generation:    old.Generation + 1,
		State:         Active,
		Login:         old.Login,
	}
	if r.lifetime > 0 {
		g.Expiry = now.Add(r.lifetime)
	}
	if g.RefreshToken.Empty() {
		g.RefreshToken = old.RefreshToken
	}
	if g.Scope == "" {
		g.Scope = old.Scope
	}
	// A reply that repeats the refresh token does not prolong it, as far as anybody has said.
	if g.RefreshToken != old.RefreshToken && p.RefreshLifetime > 0 {
		g.RefreshExpiry = now.Add(p.RefreshLifetime)
	}
	if r.refreshLifetime > 0 {
		g.RefreshExpiry = now.Add(r.refreshLifetime)
	}
	return g
}
