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
	// ErrRefused means that the provider refused an access token, which a renewal may put right.
	ErrRefused = errors.New("access token refused")
	// ErrNoProbe means that the provider has no request that shows whether an access token is good.
	ErrNoProbe = errors.New("no way to try an access token")
)

// Probe asks the provider whether the stored access token is good, once and by a request that changes nothing. Whatever the
// answer is, nothing is renewed or written off. The error wraps [ErrRefused] if the token is refused, and is [ErrNoProbe] in an
// [*Error] where there is nothing to ask. It is of no use for an expired token.
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

// TrySocketToken is [Account.SocketToken] without consequences: it asks once, with the stored access token, and nothing is
// renewed or written off. The error wraps [ErrRefused] if the access token is refused.
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

// tried makes an *Error of the *wire.Failure of one request.
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

// RefusesClient reports whether err is of a provider that refused client_id or client_secret, be it for good or not.
func RefusesClient(err error) bool {
	f, ok := errors.AsType[*wire.Failure](err)
	return ok && f.Kind == wire.BadClient || errors.Is(err, grant.ErrClientRefused)
}

// Endpoints are the URLs that hold for the account: the configured ones, and the provider's where there is none.
func (a *Account) Endpoints() provider.Endpoints { return a.provider.Endpoints }
