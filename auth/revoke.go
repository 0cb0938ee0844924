package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// Logout ends the grant at the provider, where that is possible, and then forgets it. While the provider cannot be told, or
// the grant cannot be read, it is kept, so that nothing is left behind there that nobody can end any more; [Account.Forget]
// forgets it all the same. It returns [ErrNoGrant] in an [*Error] when there is none, but nil with [ClientCredentials], whose
// next token is asked for when one is needed.
func (a *Account) Logout(ctx context.Context) error {
	release, err := a.take(ctx, "log out")
	if err != nil {
		return err
	}
	defer release()
	g, err := a.current()
	if err != nil && a.unsaved != nil {
		return err
	}
	if err != nil && !errors.Is(err, ErrNoGrant) {
		e := a.fail("log out", fmt.Errorf("the stored login cannot be read (%w), so nothing can be revoked", errors.Unwrap(err)))
		e.Fix = "relay auth logout --force " + a.name + " forgets it"
		return e
	}
	// What is over cannot be ended at the provider.
	if err == nil && a.endpoints.Revoke != "" && g.State != ReauthorizeNeeded && g.State != Ready {
		if err := a.revoke(ctx, g); err != nil {
			e := a.fail("log out", fmt.Errorf("%s did not end the access, so the grant is kept: %w", a.provider.Title, err))
			e.Fix = "try again later; or run: relay auth logout --force " + a.name + ", and end the access at " + a.provider.Title + " yourself"
			return e
		}
	}
	return a.forget()
}

// Forget is [Account.Logout] without a word to the provider, where the grant goes on to exist.
func (a *Account) Forget(ctx context.Context) error {
	release, err := a.take(ctx, "log out")
	if err != nil {
		return err
	}
	defer release()
	return a.forget()
}

// forget is called with the turn held.
func (a *Account) forget() error {
	a.unsaved = nil
	err := a.store.Delete(a.name)
	if errors.Is(err, ErrNoGrant) && a.provider.Grant == ClientCredentials {
		return nil
	}
	if err != nil {
		return a.fail("log out", err)
	}
	return nil
}

// revoke ends g at the provider. A token that is unknown there is as good as ended.
func (a *Account) revoke(ctx context.Context, g Grant) error {
	c := call{
		endpoint: a.endpoints.Revoke,
		field:    "revoke",
		secrets:  map[string]secret.String{a.provider.RevokeParameter: g.AccessToken},
	}
	switch {
	case a.provider.RevokeParameter == "" && !g.RefreshToken.Empty(): // RFC 7009 section 2.1.
		c = a.tokenCall("revoke", a.endpoints.Revoke, map[string]string{"token_type_hint": "refresh_token"},
			map[string]secret.String{"token": g.RefreshToken})
	case a.provider.RevokeParameter == "":
		c = a.tokenCall("revoke", a.endpoints.Revoke, nil, map[string]secret.String{"token": g.AccessToken})
	case !g.valid(time.Now()) && a.renewable(g):
		// An expired access token may be unknown already while its refresh token lives on.
		next, err := a.renew(ctx, g)
		if errors.Is(err, ErrReauthorize) {
			return nil
		}
		if err != nil {
			return err
		}
		c.secrets[a.provider.RevokeParameter] = next.AccessToken
	}
	ans, err := a.wire.send(ctx, a.provider.Style, c)
	if err != nil {
		return err
	}
	if ans.html && len(ans.body) > 0 && ans.status/100 == http.StatusOK/100 {
		return &failure{why: "a web page, not the API's answer: check endpoints.revoke in the config"}
	}
	if f := ans.judge(a.provider); f != nil && f.kind != refused {
		return f
	}
	return nil
}
