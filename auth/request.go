package auth

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// authorizeURL returns the URL that the browser opens for a login. The provider then redirects it to at.Redirect, with a code and
// the state.
func (a *Account) authorizeURL(at login.Attempt) string {
	cfg := oauth2.Config{ClientID: a.client.id, Endpoint: oauth2.Endpoint{AuthURL: a.provider.Endpoints.Authorize}}
	if scopes := a.scopes(); scopes != "" {
		cfg.Scopes = []string{scopes} // as one, because oauth2 only separates with spaces
	}
	more := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam(string(a.provider.Login.RedirectParameter), at.Redirect)}
	if !at.Verifier.Empty() {
		more = append(more, oauth2.S256ChallengeOption(at.Verifier.Reveal()))
	}
	return cfg.AuthCodeURL(at.State, more...)
}

func (a *Account) scopes() string {
	return strings.Join(a.provider.Login.Scopes, cmp.Or(a.provider.Login.ScopeSeparator, " "))
}

// tokenCall returns a request that authenticates the client (RFC 6749 section 2.3.1), with these parameters.
func (a *Account) tokenCall(field, endpoint string, params map[string]string, secrets map[string]secret.String) wire.Call {
	c := wire.Call{
		Method:   string(a.provider.Request.Method),
		Endpoint: endpoint,
		Field:    field,
		Params:   map[string]string{"client_id": a.client.id},
		Secrets:  maps.Clone(a.provider.Request.Params),
	}
	maps.Copy(c.Params, params)
	maps.Copy(c.Secrets, secrets)
	if !a.client.secret.Empty() {
		c.Secrets["client_secret"] = a.client.secret
	}
	return c
}

// codeCall exchanges a code for a grant. Here every provider calls the redirect URL redirect_uri.
func (a *Account) codeCall(code secret.String, at login.Attempt) wire.Call {
	params := map[string]string{"grant_type": string(provider.AuthorizationCode), "redirect_uri": at.Redirect}
	if scopes := a.scopes(); a.provider.Login.ScopeInExchange && scopes != "" {
		params["scope"] = scopes
	}
	secrets := map[string]secret.String{"code": code}
	if !at.Verifier.Empty() {
		secrets["code_verifier"] = at.Verifier
	}
	return a.tokenCall("token", a.provider.Endpoints.Token, params, secrets)
}

// renewalCall returns the request that renews g.
func (a *Account) renewalCall(g grant.Grant) wire.Call {
	switch a.provider.Grant {
	case provider.ClientCredentials:
		params := map[string]string{"grant_type": string(provider.ClientCredentials)}
		if scopes := a.scopes(); scopes != "" {
			params["scope"] = scopes
		}
		return a.tokenCall("token", a.provider.Endpoints.Token, params, nil)
	case provider.PersonalToken:
		return wire.Call{
			Endpoint: a.provider.Endpoints.Refresh,
			Field:    "refresh",
			Bearer:   g.AccessToken,
			Secrets:  map[string]secret.String{"access_token": g.AccessToken},
		}
	}
	return a.tokenCall("refresh", a.provider.Endpoints.Refresh, map[string]string{"grant_type": "refresh_token"},
		map[string]secret.String{"refresh_token": g.RefreshToken})
}

// settleFor is how long to wait after a refresh that consumes the access token and whose reply is lost. The provider may
// still be processing it: a token that works at the probe now may be consumed a moment later.
const settleFor = time.Minute

// renewable reports whether g can be renewed without a person.
func (a *Account) renewable(g grant.Grant) bool {
	switch a.provider.Grant {
	case provider.ClientCredentials:
		return a.clientRefused.Load() == nil
	case provider.PersonalToken:
		return g.Valid(time.Now())
	default:
		return !g.RefreshToken.Empty()
	}
}

// canProbe reports whether an access token can be tested.
func (a *Account) canProbe() bool {
	return a.provider.Endpoints.Probe != "" || a.provider.Endpoints.SocketToken != ""
}

// tryToken tests an access token at the provider, by a request without side effects. The error is a *wire.Failure.
func (a *Account) tryToken(ctx context.Context, t Token) error {
	if a.provider.Endpoints.Probe == "" {
		_, err := a.askSocketToken(ctx, t)
		return err
	}
	ans, err := a.wire.Send(ctx, provider.Query, wire.Call{
		Method: http.MethodGet, Endpoint: a.provider.Endpoints.Probe, Field: "probe", Bearer: t.AccessToken,
	})
	if err != nil {
		return err
	}
	if ans.Status/100 == http.StatusOK/100 {
		if !ans.HTML {
			return nil
		}
		return &wire.Failure{Why: "a web page, not the API's answer: check endpoints.probe in the config"}
	}
	return ans.Judge(a.provider)
}

// advice returns what a person must do about an account that cannot continue.
func (a *Account) advice() advice.Fix {
	switch a.provider.Grant {
	case provider.ClientCredentials:
		return advice.Do("correct client_id and client_secret in the config")
	case provider.PersonalToken:
		return advice.Fix{Before: "make a token at " + a.provider.TokenPage + " and run: ", Command: "relay auth import " + a.name}
	default:
		return advice.Run(advice.Login(a.name))
	}
}

// ended returns why g, which is not renewable, has ended.
func (a *Account) ended(g grant.Grant) string {
	why := "the grant ended, and the provider gave no refresh token"
	if a.provider.Grant == provider.PersonalToken {
		why = "the token has expired, and an expired one cannot be refreshed"
	}
	if g.State == grant.RefreshOutcomeUnknown {
		why += "; " + g.Reason
	}
	return why
}
