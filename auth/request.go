package auth

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/treatrelay/relay/internal/secret"
)

// AuthorizeURL is where the browser goes for a login. The provider sends it back to redirect with a code and state. For a
// provider with PKCE, [Account.Login] makes a URL of its own.
func (a *Account) AuthorizeURL(state, redirect string) string {
	return a.authorizeURL(attempt{state: state, redirect: redirect})
}

func (a *Account) authorizeURL(at attempt) string {
	cfg := oauth2.Config{ClientID: a.clientID, Endpoint: oauth2.Endpoint{AuthURL: a.endpoints.Authorize}}
	if scopes := a.scopes(); scopes != "" {
		cfg.Scopes = []string{scopes} // As one, because oauth2 knows no separator but the space.
	}
	more := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam(a.provider.RedirectParameter, at.redirect)}
	if !at.verifier.Empty() {
		more = append(more, oauth2.S256ChallengeOption(at.verifier.Reveal()))
	}
	return cfg.AuthCodeURL(at.state, more...)
}

func (a *Account) scopes() string {
	return strings.Join(a.provider.Scopes, cmp.Or(a.provider.ScopeSeparator, " "))
}

// tokenCall is a request that the client makes as itself, RFC 6749 section 2.3.1, with more of its own.
func (a *Account) tokenCall(field, endpoint string, params map[string]string, secrets map[string]secret.String) call {
	c := call{
		method:   a.provider.Method,
		endpoint: endpoint,
		field:    field,
		params:   map[string]string{"client_id": a.clientID},
		secrets:  maps.Clone(a.provider.Params),
	}
	maps.Copy(c.params, params)
	maps.Copy(c.secrets, secrets)
	if !a.secret.Empty() {
		c.secrets["client_secret"] = a.secret
	}
	return c
}

// codeCall turns a code into a grant. Its redirect_uri has that name at every provider.
func (a *Account) codeCall(code secret.String, at attempt) call {
	params := map[string]string{"grant_type": string(AuthorizationCode), "redirect_uri": at.redirect}
	if scopes := a.scopes(); a.provider.ScopeInExchange && scopes != "" {
		params["scope"] = scopes
	}
	secrets := map[string]secret.String{"code": code}
	if !at.verifier.Empty() {
		secrets["code_verifier"] = at.verifier
	}
	return a.tokenCall("token", a.endpoints.Token, params, secrets)
}

// renewalCall turns g into the next grant.
func (a *Account) renewalCall(g Grant) call {
	switch a.provider.Grant {
	case ClientCredentials:
		params := map[string]string{"grant_type": string(ClientCredentials)}
		if scopes := a.scopes(); scopes != "" {
			params["scope"] = scopes
		}
		return a.tokenCall("token", a.endpoints.Token, params, nil)
	case PersonalToken:
		return call{
			endpoint: a.endpoints.Refresh,
			field:    "refresh",
			bearer:   g.AccessToken,
			secrets:  map[string]secret.String{"access_token": g.AccessToken},
		}
	}
	return a.tokenCall("refresh", a.endpoints.Refresh, map[string]string{"grant_type": "refresh_token"},
		map[string]secret.String{"refresh_token": g.RefreshToken})
}

// settleFor is how long a OneShot request whose answer was lost is left alone: it may still be under way at the provider,
// and a token that works at the probe now may be spent by it a moment later.
const settleFor = time.Minute

// renewable reports whether g can be renewed without a person.
func (a *Account) renewable(g Grant) bool {
	switch a.provider.Grant {
	case ClientCredentials:
		return a.clientRefused.Load() == nil
	case PersonalToken:
		return g.valid(time.Now())
	default:
		return !g.RefreshToken.Empty()
	}
}

// canProbe reports whether there is a way to find out if an access token is good.
func (a *Account) canProbe() bool { return a.endpoints.Probe != "" || a.endpoints.SocketToken != "" }

// tryToken asks the provider whether an access token is good, by a request that changes nothing. Its error is a *failure.
func (a *Account) tryToken(ctx context.Context, t Token) error {
	if a.endpoints.Probe == "" {
		_, err := a.askSocketToken(ctx, t)
		return err
	}
	ans, err := a.wire.send(ctx, Query, call{
		method: http.MethodGet, endpoint: a.endpoints.Probe, field: "probe", bearer: t.AccessToken,
	})
	if err != nil {
		return err
	}
	if ans.status/100 == http.StatusOK/100 {
		if !ans.html {
			return nil
		}
		return &failure{why: "a web page, not the API's answer: check endpoints.probe in the config"}
	}
	return ans.judge(a.provider)
}

// advice says what a person does about an account that cannot go on.
func (a *Account) advice() string {
	switch a.provider.Grant {
	case ClientCredentials:
		return "correct client_id and client_secret in the config"
	case PersonalToken:
		return "make a token at " + a.provider.TokenPage + " and run: relay auth import " + a.name
	default:
		return loginCommand(a.name)
	}
}

// ended says why g, which is not renewable, is over.
func (a *Account) ended(g Grant) string {
	why := "the grant ended, and the provider gave no refresh token"
	if a.provider.Grant == PersonalToken {
		why = "the token has expired, and an expired one cannot be refreshed"
	}
	if g.State == RefreshOutcomeUnknown {
		why += "; " + g.Reason
	}
	return why
}
