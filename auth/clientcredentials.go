package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The states of an account with client credentials before it has a token. They are never stored.
const (
	// Ready: the first token is asked for when one is needed. Nobody has to log in.
	Ready State = "ready"
	// ClientRefused: the provider refused client_id or client_secret. This Account sends nothing more: the config has to
	// change. A token that somebody else stores with a better config is served.
	ClientRefused State = "client_refused"
)

// clientCredentials is any API that gives tokens to a client for itself, RFC 6749 section 4.4, by default in the way of
// the one whose documentation was at hand: one JSON object by POST to /oauth/token, without a refresh token in the reply.
func clientCredentials() Provider {
	return Provider{
		Name:      "client-credentials",
		Title:     "the API",
		Endpoints: Endpoints{Token: "/oauth/token"}, //nolint:gosec // This is an address of tokens, not a token.
		Grant:     ClientCredentials,
		Style:     JSON,
		Lifetime:  15 * time.Minute,
		Margin:    5 * time.Minute,
	}
}

// askAgain gets a token by the client's own credentials, in place of g. Asking twice costs nothing, so that nothing
// is marked in the store before and no lost answer is in doubt. A refusal that names the client, or what it asks for, is final
// for as long as the config stays as it is.
func (a *Account) askAgain(ctx context.Context, g Grant) (Grant, error) {
	if _, err := a.store.Load(a.name); errors.Is(err, ErrUnusable) && a.announced.change("unusable", err.Error()) {
		a.log.Warn().Err(err).Msg("the stored token cannot be used; asking for another, which replaces it")
	}
	r, err := a.askToken(ctx, a.renewalCall(g))
	a.metrics.refreshed(a.name, err)
	if err == nil {
		r.refresh = g.RefreshToken // RFC 6749 section 4.4.3 wants none, and none is of use.
		return a.renewed(g, granted(g, r, a.provider, time.Now()))
	}
	f := asFailure(err)
	a.refusals.add(f, time.Now())
	why := ""
	switch {
	case f.kind == badClient, f.kind == refused, f.kind == rejected && f.request:
		why = strings.TrimSuffix(f.why, checkClient) // The error's Fix says it.
	case f.kind == rejected:
		why = a.refusedForLong(g, f)
	}
	if why != "" {
		a.clientRefused.Store(&why)
		err := a.clientError("token of")
		a.log.Error().Err(err).Msg("the client is refused; nothing more is sent for this account")
		return Grant{}, err
	}
	return Grant{}, a.postponed(f)
}

// clientError gives the error for credentials that were refused, nil when they were not.
func (a *Account) clientError(op string) error {
	why := a.clientRefused.Load()
	if why == nil {
		return nil
	}
	return a.fail(op, fmt.Errorf("%w: %s", ErrClientRefused, *why))
}

// blank stands in for the grant of an account that can ask for one by itself.
func (a *Account) blank(generation int64) Grant {
	return Grant{Provider: a.provider.Name, Generation: generation, State: Ready}
}
