package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/treatrelay/relay/internal/secret"
)

var (
	// ErrRefused means that the provider refused an access token, which a renewal may put right.
	ErrRefused = errors.New("access token refused")
	// ErrNoProbe means that the provider has no request that shows whether an access token is good.
	ErrNoProbe = errors.New("no way to try an access token")
	// ErrNoIdentity means that there is no identity to open stored grants with.
	ErrNoIdentity = errors.New("there is no identity yet")
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
	return a.tried("try the token of", a.tryToken(ctx, g.token()))
}

// TrySocketToken is [Account.SocketToken] without consequences: it asks once, with the stored access token, and nothing is
// renewed or written off. The error wraps [ErrRefused] if the access token is refused.
func (a *Account) TrySocketToken(ctx context.Context) (secret.String, error) {
	if a.endpoints.SocketToken == "" {
		return secret.String{}, a.fail("socket token of", errors.New(a.provider.Title+" has none; endpoints.socket_token is not set"))
	}
	g, err := a.living(a.load())
	if err != nil {
		return secret.String{}, err
	}
	token, err := a.askSocketToken(ctx, g.token())
	return token, a.tried("socket token of", err)
}

// tried makes an *Error of the *failure of one request.
func (a *Account) tried(op string, err error) error {
	f := asFailure(err)
	switch {
	case f == nil:
		return nil
	case f.kind == refused:
		return a.fail(op, fmt.Errorf("%w: %s", ErrRefused, f.why))
	}
	return a.fail(op, f)
}

// RefusesClient reports whether err is of a provider that refused client_id or client_secret, be it for good or not.
func RefusesClient(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.kind == badClient || errors.Is(err, ErrClientRefused)
}

// FindIdentity is [LoadIdentity] without the making: the error is or wraps [ErrNoIdentity] when there is none.
func FindIdentity(ctx context.Context, opts IdentityOptions) (Identity, error) {
	if opts.File != "" {
		return LoadIdentity(ctx, opts)
	}
	id, _, err := findIdentity(ctx, opts)
	if err == nil && id.recipient == nil {
		err = ErrNoIdentity
	}
	return id, err
}

// Endpoints are the URLs that hold for the account: the configured ones, and the provider's where there is none.
func (a *Account) Endpoints() Endpoints { return a.endpoints }

// All are the URLs that are not empty, in the order of the fields.
func (e Endpoints) All() []string {
	var all []string
	for _, f := range e.fields() {
		if *f.url != "" {
			all = append(all, *f.url)
		}
	}
	return all
}
