package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// SocketToken asks for a fresh token of the realtime server. How long such a token lives is not documented: ask before
// every connection. An access token that is refused is refreshed once; refused again, or if it cannot be refreshed, the grant is written off.
func (a *Account) SocketToken(ctx context.Context) (secret.String, error) {
	if a.endpoints.SocketToken == "" {
		return secret.String{}, a.fail("socket token of", errors.New(a.provider.Title+" has none; endpoints.socket_token is not set"))
	}
	token, err := a.Token(ctx)
	if err != nil {
		return secret.String{}, err
	}
	got, err := a.askSocketToken(ctx, token)
	if isRefused(err) {
		refused := token.Generation
		token, renewal := a.Refresh(ctx, refused)
		if errors.Is(renewal, errNoRenewal) {
			return secret.String{}, a.disown(ctx, refused, " refused the access token, and gave no refresh token: "+err.Error())
		}
		if renewal != nil {
			return secret.String{}, renewal
		}
		if got, err = a.askSocketToken(ctx, token); isRefused(err) {
			return secret.String{}, a.disown(ctx, token.Generation, " refused the access token even after a refresh: "+err.Error())
		}
	}
	if f := asFailure(err); f != nil {
		e := a.fail("socket token of", f)
		if f.after > 0 {
			e.RetryAt = time.Now().Add(f.after)
			e.Fix = "not before " + f.after.String() + " from now"
		}
		return secret.String{}, e
	}
	return got, nil
}

// askSocketToken sends one request. Its error is a *failure.
func (a *Account) askSocketToken(ctx context.Context, token Token) (secret.String, error) {
	ans, err := a.wire.send(ctx, a.provider.Style, call{
		endpoint: a.endpoints.SocketToken,
		field:    "socket_token",
		params:   map[string]string{"client_id": a.clientID},
		secrets:  map[string]secret.String{"access_token": token.AccessToken},
	})
	if err != nil {
		return secret.String{}, err
	}
	if ans.status/100 == 2 {
		if fields, err := decodeObject(ans.body); err == nil {
			if got := textOf(fields["socket_token"]); got != "" {
				return secret.New(got), nil
			}
		}
	}
	if f := ans.judge(nil); f != nil {
		return secret.String{}, f
	}
	return secret.String{}, &failure{why: fmt.Sprintf("HTTP %d, but the answer has no socket_token", ans.status)}
}

// disown writes off the grant of the given generation, whose access token was refused; why follows the provider's name.
func (a *Account) disown(ctx context.Context, generation int64, why string) error {
	release, err := a.take(ctx, "socket token of")
	if err != nil {
		return err
	}
	defer release()
	g, err := a.current()
	if err != nil {
		return err
	}
	if g.Generation != generation {
		return a.fail("socket token of", errors.New("the token was replaced meanwhile; try again"))
	}
	if err := a.dead(g); err != nil {
		return err
	}
	return a.bury(g, a.provider.Title+why)
}
