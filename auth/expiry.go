package auth

import (
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
)

// margin returns how long before the expiry of g a refresh is due.
func (a *Account) margin(g grant.Grant) time.Duration {
	return min(a.provider.Lifetimes.Margin, max(0, g.Expiry.Sub(g.ObtainedAt))/4)
}

// due reports whether to refresh g before a caller gets its token.
func (a *Account) due(g grant.Grant, now time.Time) bool {
	return !now.Before(g.Expiry.Add(-a.margin(g))) || a.fromFuture(g, now)
}

// fromFuture reports whether the clock was set back so far since g was issued that its expiry means nothing.
func (a *Account) fromFuture(g grant.Grant, now time.Time) bool {
	return g.ObtainedAt.Sub(now) > max(time.Minute, a.margin(g))
}

// early returns how long before the margin [Account.Run] refreshes g: up to a quarter of the margin, so that accounts
// that logged in together do not refresh together.
func (a *Account) early(g grant.Grant) time.Duration {
	return time.Duration(float64(a.margin(g)) / 4 * g.Share(a.name))
}

// granted returns the grant that a reply yields. old is the grant it replaces, the zero grant for a login.
func granted(old grant.Grant, r reply.Reply, p provider.Provider, now time.Time) grant.Grant {
	now = now.Round(0).UTC() // Drop the monotonic reading, which means nothing on disk.
	g := grant.Grant{
		Provider:      p.Name,
		AccessToken:   r.Access,
		RefreshToken:  r.Refresh,
		TokenType:     r.TokenType,
		Scope:         r.Scope,
		ObtainedAt:    now,
		Expiry:        now.Add(p.Lifetimes.Access),
		RefreshExpiry: old.RefreshExpiry,
		Generation:    old.Generation + 1,
		State:         grant.Active,
		Login:         old.Login,
	}
	if r.Lifetime > 0 {
		g.Expiry = now.Add(r.Lifetime)
	}
	if g.RefreshToken.Empty() {
		g.RefreshToken = old.RefreshToken
	}
	if g.Scope == "" {
		g.Scope = old.Scope
	}
	// No provider documents that repeating the refresh token extends it, so assume that it does not.
	if g.RefreshToken != old.RefreshToken && p.Lifetimes.Refresh > 0 {
		g.RefreshExpiry = now.Add(p.Lifetimes.Refresh)
	}
	if r.RefreshLifetime > 0 {
		g.RefreshExpiry = now.Add(r.RefreshLifetime)
	}
	return g
}
