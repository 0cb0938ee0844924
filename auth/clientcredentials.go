package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

// askAgain requests a token with the client credentials, to replace g. Asking twice is harmless, so the store needs no
// note beforehand and a lost reply leaves nothing in doubt. A refusal that names the client or its request is final
// until the config changes.
func (a *Account) askAgain(ctx context.Context, g grant.Grant) (grant.Grant, error) {
	if _, err := a.store.Load(a.name); errors.Is(err, grant.ErrUnusable) && a.state.announced.change("unusable", err.Error()) {
		a.log.Warn().Err(err).Msg("the stored token cannot be used; asking for another, which replaces it")
	}
	r, err := a.askToken(ctx, a.renewalCall(g))
	a.metrics.refreshed(a.name, err)
	if err == nil {
		r.Refresh = g.RefreshToken // RFC 6749 section 4.4.3: a reply should have none, and relay does not use it.
		return a.renewed(g, granted(g, r, a.provider, time.Now()))
	}
	f := wire.AsFailure(err)
	a.state.refusals.add(f, time.Now())
	why := ""
	switch {
	case f.Kind == wire.BadClient, f.Kind == wire.Refused, f.Kind == wire.Rejected && f.Request:
		why = f.Why // The error's Fix has the rest.
	case f.Kind == wire.Rejected:
		why = a.refusedForLong(g, f)
	}
	if why != "" {
		a.clientRefused.Store(&why)
		err := a.clientError("token of")
		a.log.Error().Err(err).Msg("the client is refused; nothing more is sent for this account")
		return grant.Grant{}, err
	}
	return grant.Grant{}, a.postponed(f)
}

// clientError returns the error for refused client credentials, or nil if they were not refused.
func (a *Account) clientError(op string) error {
	why := a.clientRefused.Load()
	if why == nil {
		return nil
	}
	return a.fail(op, fmt.Errorf("%w: %s", grant.ErrClientRefused, *why))
}

// blank stands in for the grant of an account that gets its tokens without a login.
func (a *Account) blank(generation int64) grant.Grant {
	return grant.Grant{Provider: a.provider.Name, Generation: generation, State: grant.Ready}
}
