package auth

import (
	"context"

	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/internal/secret"
)

// AuthorizeURL returns the authorize URL without a PKCE challenge.
func (a *Account) AuthorizeURL(state, redirect string) string {
	return a.authorizeURL(login.Attempt{State: state, Redirect: redirect})
}

// Exchange exchanges a code without a PKCE verifier.
func (a *Account) Exchange(ctx context.Context, code secret.String, redirect string) error {
	return a.exchange(ctx, code, login.Attempt{Redirect: redirect})
}
