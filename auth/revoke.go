package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// Logout revokes the grant at the provider, if possible, and then deletes it. If the provider cannot be reached or the
// grant cannot be read, it keeps the grant, so that no grant stays active that nobody can revoke; [Account.Forget]
// deletes it anyway. If there is no grant, it returns [grant.ErrNone] in an [*Error], but nil with
// [provider.ClientCredentials], where the next token is requested when needed.
func (a *Account) Logout(ctx context.Context) error {
	release, err := a.take(ctx, "log out")
	if err != nil {
		return err
	}
	defer release()
	g, err := a.current()
	if err != nil && a.state.unsaved != nil {
		return err
	}
	if err != nil && !errors.Is(err, grant.ErrNone) {
		e := a.fail("log out", fmt.Errorf("the stored login cannot be read (%w), so nothing can be revoked", errors.Unwrap(err)))
		e.Fix = advice.Fix{Command: "relay auth logout --force " + a.name, After: " forgets it"}
		return e
	}
	// An ended grant cannot be revoked.
	if err == nil && a.provider.Endpoints.Revoke != "" && g.State != grant.ReauthorizeNeeded && g.State != grant.Ready {
		if err := a.revoke(ctx, g); err != nil {
			e := a.fail("log out", fmt.Errorf("%s did not end the access, so the grant is kept: %w", a.provider.Title, err))
			e.Fix = advice.Fix{
				Before:  "try again later; or run: ",
				Command: "relay auth logout --force " + a.name,
				After:   ", and end the access at " + a.provider.Title + " yourself",
			}
			return e
		}
	}
	return a.forget()
}

// Forget deletes the stored grant without revoking it; it stays active at the provider. Otherwise it is like
// [Account.Logout].
func (a *Account) Forget(ctx context.Context) error {
	release, err := a.take(ctx, "log out")
	if err != nil {
		return err
	}
	defer release()
	return a.forget()
}

// forget deletes the stored grant. The caller holds the turn and the lock.
func (a *Account) forget() error {
	a.state.unsaved = nil
	err := a.store.Delete(a.name)
	if errors.Is(err, grant.ErrNone) && a.provider.Grant == provider.ClientCredentials {
		return nil
	}
	if err != nil {
		return a.fail("log out", err)
	}
	return nil
}

// revoke ends g at the provider. A token that the provider does not know counts as revoked.
func (a *Account) revoke(ctx context.Context, g grant.Grant) error {
	c := wire.Call{
		Endpoint: a.provider.Endpoints.Revoke,
		Field:    "revoke",
		Secrets:  map[string]secret.String{a.provider.Request.RevokeParameter: g.AccessToken},
	}
	switch {
	case a.provider.Request.RevokeParameter == "" && !g.RefreshToken.Empty(): // RFC 7009 section 2.1.
		c = a.tokenCall("revoke", a.provider.Endpoints.Revoke, map[string]string{"token_type_hint": "refresh_token"},
			map[string]secret.String{"token": g.RefreshToken})
	case a.provider.Request.RevokeParameter == "":
		c = a.tokenCall("revoke", a.provider.Endpoints.Revoke, nil, map[string]secret.String{"token": g.AccessToken})
	case !g.Valid(time.Now()) && a.renewable(g):
		// The provider may no longer know an expired access token while its refresh token still works.
		next, err := a.renew(ctx, g)
		if errors.Is(err, grant.ErrReauthorize) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Secrets[a.provider.Request.RevokeParameter] = next.AccessToken
	}
	ans, err := a.wire.Send(ctx, a.provider.Request.Style, c)
	if err != nil {
		return err
	}
	if ans.HTML && len(ans.Body) > 0 && ans.Status/100 == http.StatusOK/100 {
		return &wire.Failure{Why: "a web page, not the API's answer: check endpoints.revoke in the config"}
	}
	if f := ans.Judge(a.provider); f != nil && f.Kind != wire.Refused {
		return f
	}
	return nil
}
