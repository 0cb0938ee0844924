package auth

import (
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// Endpoints are the URLs of a provider. In a [Config] an empty field leaves the provider's own URL in place. A URL must use
// https, or http to a loopback host. In a [Provider] a URL that begins with / is under its BaseURL.
type Endpoints struct {
	Authorize   string // where the browser is sent
	Token       string // code, or client credentials, to token
	Refresh     string // refresh token to token; empty means Token
	Revoke      string // ends a grant; empty when the provider has no such thing
	Probe       string // answers GET with 2xx when the access token is good, and changes nothing; may be empty
	SocketToken string // access token to realtime token; empty when the provider has no such thing
	History     string // past treats; not called by this package
	Socket      string // the realtime server; not called by this package
}

// BodyStyle is where a token request carries its parameters. It is fixed for each provider: a client that tries one
// style after the other sends a single-use code twice.
type BodyStyle string

// The three styles in use.
const (
	Form  BodyStyle = "form"  // application/x-www-form-urlencoded, RFC 6749 section 4.1.3
	JSON  BodyStyle = "json"  // one JSON object of strings
	Query BodyStyle = "query" // in the URL, with an empty body
)

// GrantType is how an account comes by its first token.
type GrantType string

// The three ways to a token.
const (
	AuthorizationCode GrantType = "authorization_code" // a login in the browser, RFC 6749 section 4.1; the default
	ClientCredentials GrantType = "client_credentials" // asked for without a user, RFC 6749 section 4.4
	// PersonalToken: the user makes it at the provider's site and hands it to [Account.ImportToken]. From then on it is
	// its own refresh token: it is exchanged for another one while it is valid, and never after.
	PersonalToken GrantType = "personal_token"
)

// A Provider is a service whose tokens this package keeps. It is a plain value and safe to copy. One that follows RFC
// 6749 to the letter needs a Name, a Title, the URLs Authorize and Token, a Lifetime and a Margin.
type Provider struct {
	Name      string // as the config names it
	Title     string // as people know it
	BaseURL   string // what relative endpoints are under; empty when the config has to give it
	Endpoints Endpoints

	Grant  GrantType
	Style  BodyStyle                // of token requests; Form when empty
	Method string                   // of token requests; POST when empty
	Params map[string]secret.String // added to every token request

	Scopes            []string // asked for at login
	ScopeSeparator    string   // between scopes; a space when empty
	ScopeInExchange   bool     // whether the token request of a login repeats the scopes
	RedirectParameter string   // what the authorize URL calls the redirect URL; redirect_uri when empty
	PKCE              bool     // whether a login proves itself by RFC 7636, method S256
	SecretOptional    bool     // whether a client without a secret is served
	TokenPage         string   // where a person makes a PersonalToken

	// RevokeParameter is what the revoke request calls the access token, which is then all it carries. Empty means
	// RFC 7009: the client, and the refresh token or else the access token.
	RevokeParameter string

	// Lifetime of an access token and RefreshLifetime of a refresh token stand in where a reply does not say.
	// RefreshLifetime zero means that refresh tokens do not end.
	Lifetime, RefreshLifetime time.Duration
	// Margin is how long before its expiry an access token is refreshed. For a token that lives shorter than
	// four margins it is a quarter of the token's life, so that no short-lived token is refreshed at every call.
	Margin time.Duration
	// OneShot says that a refresh spends the access token as well. When the reply to a refresh is lost, a refused
	// access token then proves that the grant is gone, and nothing is sent again. An error of the server is
	// taken for a lost reply.
	OneShot bool
	// HarmlessCodes are error codes that are about the request, whatever their words say about tokens.
	HarmlessCodes []string
	// GrantCodes are error codes beside those of RFC 6749 and RFC 6750 that mean that the token or grant is no good, in lower
	// case; a word that is all of the message counts as one.
	GrantCodes []string
}

// Providers lists every provider, in the order in which documentation names them.
func Providers() []Provider {
	return []Provider{
		treatStream(),
		treeSnap(),
		camStreamer(),
		clientCredentials(),
	}
}

// Lookup finds a provider by its name.
func Lookup(name string) (Provider, bool) {
	all := Providers()
	i := slices.IndexFunc(all, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return all[i], true
}

// with returns e with the non-empty fields of over in place of its own.
func (e Endpoints) with(over Endpoints) Endpoints {
	mine, theirs := e.fields(), over.fields()
	for i := range mine {
		if *theirs[i].url != "" {
			*mine[i].url = *theirs[i].url
		}
	}
	return e
}

// under returns e with the relative URLs made absolute.
func (e Endpoints) under(base string) Endpoints {
	for _, f := range e.fields() {
		if strings.HasPrefix(*f.url, "/") {
			*f.url = strings.TrimSuffix(base, "/") + *f.url
		}
	}
	return e
}

type endpointField struct {
	name string // as the config spells it
	url  *string
}

func (e *Endpoints) fields() []endpointField {
	return []endpointField{
		{"authorize", &e.Authorize},
		{"token", &e.Token},
		{"refresh", &e.Refresh},
		{"revoke", &e.Revoke},
		{"probe", &e.Probe},
		{"socket_token", &e.SocketToken},
		{"history", &e.History},
		{"socket", &e.Socket},
	}
}
