package auth

import (
	"context"
	"errors"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
)

// Login gets a grant from the provider through the user's browser and saves it. [login.Run] describes the procedure.
// The redirect_url of the config must be a loopback one.
func (a *Account) Login(ctx context.Context, opts login.Options) error {
	if a.provider.Grant != provider.AuthorizationCode {
		e := a.fail("log in", errors.New(a.provider.Title+" has no login in a browser"))
		if e.Fix = a.advice(); a.provider.Grant == provider.ClientCredentials {
			e.Fix = advice.Do("none is needed: its tokens are asked for with client_id and client_secret")
		}
		return e
	}
	err := login.Run(ctx, login.Request{
		Account:  a.name,
		Title:    a.provider.Title,
		Redirect: a.client.redirect,
		PKCE:     a.provider.Login.PKCE,
		URL:      a.authorizeURL,
		Exchange: a.exchange,
	}, opts)
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err // from the exchange
	}
	e := a.fail("log in", err)
	if bad, ok := errors.AsType[*advice.Error](err); ok {
		e.Err, e.Fix = bad.Err, bad.Fix
	}
	return e
}
