package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/reply"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// renewAgain is how long an access token that was renewed because the endpoint for socket tokens refused it is not renewed for
// that reason once more.
const renewAgain = time.Hour

// renewals remembers when refusals of socket tokens last had the access token renewed. It may be used from many goroutines.
type renewals struct {
	mu   sync.Mutex
	last time.Time // zero once the endpoint gave a socket token
}

// allowed reports whether a refusal may have the access token renewed. While the endpoint refuses tokens that are new as well, the
// fault is its own, and another one helps as little.
func (r *renewals) allowed(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.IsZero() || now.Sub(r.last) > renewAgain
}

func (r *renewals) set(last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = last
}

// SocketToken asks for a fresh token of the realtime server. How long such a token lives is not documented: ask before
// every connection. An access token that is refused is renewed once. When the new one is refused as well, or the refusal names no
// token, the endpoint is to blame and the grant stays: the error is not permanent, and says when to ask again if the provider
// did ([Error].RetryAt). Only a token that cannot be renewed, is not new, and is named by the refusal is written off.
func (a *Account) SocketToken(ctx context.Context) (secret.String, error) {
	if a.provider.Endpoints.SocketToken == "" {
		return secret.String{}, a.fail("socket token of", errors.New(a.provider.Title+" has none; endpoints.socket_token is not set"))
	}
	token, err := a.Token(ctx)
	if err != nil {
		return secret.String{}, err
	}
	got, err := a.askSocketToken(ctx, token)
	blamed := ""
	if f := wire.AsFailure(err); aboutToken(f) {
		blamed = ": a new access token is refused too, so it is the endpoint that does not work"
		if a.renewals.allowed(time.Now()) {
			next, renewal := a.Refresh(ctx, token.Generation)
			switch {
			case errors.Is(renewal, errNoRenewal):
				if f.Kind == wire.Refused && time.Since(token.obtained) > justIssued {
					return secret.String{}, a.disown(ctx, token.Generation, " refused the access token, and gave no refresh token: "+f.Error())
				}
				blamed = ": the login is kept, for the access token is new, or the answer does not name it"
			case renewal != nil:
				return secret.String{}, renewal
			default:
				a.renewals.set(time.Now())
				got, err = a.askSocketToken(ctx, next)
			}
		}
	}
	f := wire.AsFailure(err)
	if f == nil {
		a.renewals.set(time.Time{})
		return got, nil
	}
	e := a.fail("socket token of", f)
	if aboutToken(f) {
		e = a.fail("socket token of", fmt.Errorf("%w%s", f, blamed))
	}
	if f.After > 0 {
		e.RetryAt = time.Now().Add(f.After)
		e.Fix = advice.Do("not before " + max(time.Second, f.After.Round(time.Second)).String() + " from now")
	}
	return secret.String{}, e
}

// justIssued is how old a token is at most that was issued just now.
const justIssued = 10 * time.Minute

// aboutToken reports whether a refusal may be about the access token, so that another one may help: it says so, or it is the 401
// of RFC 6750, or an API says 400 or 403.
func aboutToken(f *wire.Failure) bool {
	return f != nil && (f.Kind == wire.Refused || f.Kind == wire.Rejected && !f.Page && (f.Status == http.StatusUnauthorized || f.Object))
}

// askSocketToken sends one request. Its error is a *wire.Failure.
func (a *Account) askSocketToken(ctx context.Context, token Token) (secret.String, error) {
	ans, err := a.wire.Send(ctx, a.provider.Request.Style, wire.Call{
		Endpoint: a.provider.Endpoints.SocketToken,
		Field:    "socket_token",
		Params:   map[string]string{"client_id": a.client.id},
		Secrets:  map[string]secret.String{"access_token": token.AccessToken},
	})
	if err != nil {
		return secret.String{}, err
	}
	if ans.Status/100 == 2 {
		if fields, err := reply.Object(ans.Body, "socket_token"); err == nil {
			got := secret.New(reply.Text(fields["socket_token"]))
			if why := reply.OddToken(got); why != "" {
				return secret.String{}, &wire.Failure{Why: wire.StatusText(ans.Status) + ", but its socket_token " + why}
			}
			if !got.Empty() {
				return got, nil
			}
		}
	}
	if f := ans.Judge(a.provider); f != nil {
		return secret.String{}, f
	}
	return secret.String{}, &wire.Failure{Why: fmt.Sprintf("HTTP %d, but the answer has no socket_token", ans.Status)}
}

// disown writes off the grant of the given generation, whose access token was refused by name; why follows the provider's name.
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
	return a.writeOff(g, a.provider.Title+why)
}
