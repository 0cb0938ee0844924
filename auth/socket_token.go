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

// renewAgain is the minimum time between two renewals of an access token that the endpoint for socket tokens causes.
const renewAgain = time.Hour

// renewals remembers when a refused socket token last caused a renewal. It is safe for concurrent use.
type renewals struct {
	mu   sync.Mutex
	last time.Time // zero once the endpoint has issued a socket token
}

// allowed reports whether a refusal may cause a renewal. If the endpoint also refuses new tokens, it is itself at
// fault, and another token would not help.
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

// SocketToken requests a new token for the realtime server. Call it before every connection: the lifetime of such
// tokens is not documented. If the access token is refused, it is renewed once. If the new one is refused too, or the
// refusal names no token, the endpoint is to blame and the grant stays: the error is not permanent, and [Error].RetryAt
// has the time to try again if the provider gave one. Only a token that cannot be renewed, is not new, and is named by
// the refusal is written off.
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

// justIssued is the maximum age of a token that counts as just issued.
const justIssued = 10 * time.Minute

// aboutToken reports whether another access token may help after a refusal: it names the token, is a 401 as in RFC
// 6750, or is a 400 or 403 from an API.
func aboutToken(f *wire.Failure) bool {
	return f != nil && (f.Kind == wire.Refused || f.Kind == wire.Rejected && !f.Page && (f.Status == http.StatusUnauthorized || f.Object))
}

// askSocketToken sends one request. The error is a *wire.Failure.
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
			if why := reply.TokenFault(got); why != "" {
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

// disown writes off the grant of the given generation, whose access token a refusal named. why follows the name of the
// provider.
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
