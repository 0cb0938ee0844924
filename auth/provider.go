package auth

import (
	"slices"
	"time"
)

// Endpoints are the URLs of a provider. In a [Config] an empty field leaves the provider's own URL in place.
// A URL must use https, or http to a loopback host.
type Endpoints struct {
	Authorize   string // where the browser is sent
	Token       string // code to token
	Refresh     string // refresh token to token
	Revoke      string // ends a grant; empty when the provider has no such thing
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

// A Provider is a service whose tokens this package keeps. It is a plain value and safe to copy.
type Provider struct {
	Name      string // as the config names it
	Title     string // as people know it
	Endpoints Endpoints
	Style     BodyStyle

	Scopes          []string // asked for at login
	ScopeSeparator  string   // between scopes; a space when empty
	ScopeInExchange bool     // whether the token request repeats the scopes

	// Lifetime of an access token and RefreshLifetime of a refresh token stand in where a reply does not say.
	// RefreshLifetime zero means that refresh tokens do not end.
	Lifetime, RefreshLifetime time.Duration
	// Margin is how long before its expiry an access token is refreshed. For a token that lives shorter than
	// four margins it is a quarter of the token's life, so that no short-lived token is refreshed at every call.
	Margin time.Duration
	// OneShot says that a refresh spends the access token as well. When the reply to a refresh is lost, a refused
	// access token then proves that the grant is gone, and nothing is sent again.
	OneShot bool
}

// Providers lists every provider, in the order in which documentation names them.
func Providers() []Provider {
	return []Provider{
		treatStream(),
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
		{"socket_token", &e.SocketToken},
		{"history", &e.History},
		{"socket", &e.Socket},
	}
}
