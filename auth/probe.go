package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

var (
	// ErrRefused means that the provider refused an access token. A refresh may help.
	ErrRefused = errors.New("access token refused")
	// ErrNoProbe means that the provider has no request that tests an access token.
	ErrNoProbe = errors.New("no way to try an access token")
)

// Probe tests the stored access token with one harmless request to the provider. It never refreshes or writes off a
// grant. The error wraps [ErrRefused] if the token is refused, and is [ErrNoProbe] in an [*Error] if the provider has
// no such request. Probing an expired token tells nothing.
func (a *Account) Probe(ctx context.Context) error {
	if !a.canProbe() {
		return a.fail("try the token of", ErrNoProbe)
	}
	g, err := a.living(a.load())
	if err != nil {
		return err
	}
	return a.tried("try the token of", a.tryToken(ctx, tokenOf(g)))
}

// TrySocketToken is [Account.SocketToken] without consequences: it sends one request with the stored access token, and
// never refreshes or writes off a grant. The error wraps [ErrRefused] if the access token is refused.
func (a *Account) TrySocketToken(ctx context.Context) (secret.String, error) {
	if a.provider.Endpoints.SocketToken == "" {
		return secret.String{}, a.fail("socket token of", errors.New(a.provider.Title+" has none; endpoints.socket_token is not set"))
	}
	g, err := a.living(a.load())
	if err != nil {
		return secret.String{}, err
	}
	token, err := a.askSocketToken(ctx, tokenOf(g))
	return token, a.tried("socket token of", err)
}

// tried converts the *wire.Failure of a single request to an *Error.
func (a *Account) tried(op string, err error) error {
	f := wire.AsFailure(err)
	switch {
	case f == nil:
		return nil
	case f.Kind == wire.Refused:
		return a.fail(op, fmt.Errorf("%w: %s", ErrRefused, f.Error()))
	}
	return a.fail(op, f)
}

// RefusesClient reports whether err means that a provider refused client_id or client_secret, finally or not.
func RefusesClient(err error) bool {
	f, ok := errors.AsType[*wire.Failure](err)
	return ok && f.Kind == wire.BadClient || errors.Is(err, grant.ErrClientRefused)
}

// Endpoints returns the URLs in effect: the configured ones, else those of the provider.
func (a *Account) Endpoints() provider.Endpoints { return a.provider.Endpoints }
