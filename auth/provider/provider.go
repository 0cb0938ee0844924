// Package provider describes the services that issue tokens as data: their endpoints, the form of their requests, the
// lifetime of their tokens and the meaning of their error codes. A new service is one value and a line in [All].
package provider

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// Endpoints are the URLs of a provider. In a configuration, an empty field keeps the provider's own URL. A URL must use
// https, or http to a loopback host. In a [Provider], a URL that begins with / is relative to its BaseURL.
type Endpoints struct {
	// Where the browser logs in.
	//
	// Default: the provider's.
	Authorize string `yaml:"authorize" value:"URL"`
	// Where relay exchanges a code for a token.
	//
	// Default: the provider's.
	//
	// Client credentials are exchanged here too.
	Token string `yaml:"token" value:"URL"`
	// Where relay renews a token.
	//
	// Default: the provider's.
	//
	// Empty means Token.
	Refresh string `yaml:"refresh" value:"URL"`
	// Where a logout ends the grant.
	//
	// Default: the provider's.
	//
	// Empty if the provider cannot end one.
	Revoke string `yaml:"revoke" value:"URL"`
	// Where relay tests a token.
	//
	// Default: the provider's.
	//
	// It answers a GET with 2xx if the access token is valid, and changes nothing. It may be empty.
	Probe string `yaml:"probe" value:"URL"`
	// Where relay requests a token for the realtime server.
	//
	// Default: the provider's.
	//
	// Empty if the provider has no realtime server.
	SocketToken string `yaml:"socket_token" value:"URL"`
	// Where past treats are. The access token replaces `{access_token}` in the path or the query, as in
	// `https://example.com/treats?token={access_token}`; without it, relay appends the token to the path as one more segment.
	//
	// Default: the provider's.
	//
	// Package auth does not use it.
	History string `yaml:"history" value:"URL"`
	// The realtime server.
	//
	// Default: the provider's.
	//
	// Package auth does not use it.
	Socket string `yaml:"socket" value:"URL"`
}

// BodyStyle is where a token request carries its parameters. It is fixed for each provider: a client that tries several
// styles would send a single-use code twice.
type BodyStyle string

// The body styles.
const (
	Form  BodyStyle = "form"  // application/x-www-form-urlencoded, RFC 6749 section 4.1.3
	JSON  BodyStyle = "json"  // one JSON object of strings
	Query BodyStyle = "query" // in the URL, with an empty body
)

// Words returns the styles.
func (BodyStyle) Words() []string { return []string{string(Form), string(JSON), string(Query)} }

// Method is the HTTP method of token requests.
type Method string

// Words returns the methods.
func (Method) Words() []string { return []string{http.MethodPost, http.MethodGet} }

// RedirectParameter is the name of the redirect URL in an authorize URL.
type RedirectParameter string

// The names in use. RFC 6749 has the first one.
const (
	RedirectURI RedirectParameter = "redirect_uri"
	RedirectURL RedirectParameter = "redirect_url"
)

// Words returns the names.
func (RedirectParameter) Words() []string { return []string{string(RedirectURI), string(RedirectURL)} }

// GrantType is how an account gets its first token.
type GrantType string

// The grant types.
const (
	AuthorizationCode GrantType = "authorization_code" // a login in the browser (RFC 6749 section 4.1); the default
	ClientCredentials GrantType = "client_credentials" // requested without a user (RFC 6749 section 4.4)
	// PersonalToken is a token that the user creates at the provider's site and imports into relay. It is its own
	// refresh token: it can be exchanged for a new one only while it is valid.
	PersonalToken GrantType = "personal_token"
)

// A Provider is a service that issues tokens. It is a plain value and safe to copy. One that follows RFC 6749 to the
// letter needs a Name, a Title, the URLs Authorize and Token, and the Access and Margin of Lifetimes.
type Provider struct {
	Name      string // in the config
	Title     string // in messages
	BaseURL   string // base of relative endpoints; empty if the config must set it
	Endpoints Endpoints

	Grant     GrantType
	TokenPage string // the page where a user creates a PersonalToken
	AppPage   string // the page about registering an application; empty if none is known
	Login     Login
	Request   Request
	Lifetimes Lifetimes
	Codes     Codes
	// RefreshConsumesAccess means that a refresh also consumes the access token. If the reply to a refresh is lost
	// and the access token is then refused, the grant is gone, and nothing is sent again. A server error counts as a
	// lost reply.
	RefreshConsumesAccess bool
}

// Login describes the login in the browser, and which clients may use it.
type Login struct {
	Scopes            []string          // asked for at login
	ScopeSeparator    string            // between scopes; a space when empty
	ScopeInExchange   bool              // whether the token request of a login repeats the scopes
	RedirectParameter RedirectParameter // what the authorize URL calls the redirect URL; redirect_uri when empty
	PKCE              bool              // whether a login proves itself by RFC 7636, method S256
	SecretOptional    bool              // whether a client without a secret is served
}

// Request is the form of token requests.
type Request struct {
	Style  BodyStyle                // Form when empty
	Method Method                   // POST when empty
	Params map[string]secret.String // added to every token request
	// RevokeParameter is the name of the access token in a revoke request, which then has no other parameter. Empty
	// means RFC 7009: the client, and the refresh token or else the access token.
	RevokeParameter string
}

// Lifetimes are how long tokens last. Access and Refresh apply if a reply does not say.
type Lifetimes struct {
	Access  time.Duration // of an access token
	Refresh time.Duration // of a refresh token; zero means that it does not expire
	// Margin is how long before its expiry an access token is refreshed. It is at most a quarter of the lifetime of a
	// token, so that a short-lived token is not refreshed at every call.
	Margin time.Duration
}

// Codes are the provider's own error codes, in lower case. A message of one word counts as a code.
type Codes struct {
	Harmless []string // about the request, even if their text mentions tokens
	Grant    []string // the token or grant is invalid; in addition to the codes of RFC 6749 and RFC 6750
}

// All returns every provider, in the order of the documentation.
func All() []Provider {
	return []Provider{
		treatStream(),
		treeSnap(),
		camStreamer(),
		clientCredentials(),
	}
}

// Lookup returns the provider with that name.
func Lookup(name string) (Provider, bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return all[i], true
}

// With returns e, with each non-empty field of over in place of its own.
func (e Endpoints) With(over Endpoints) Endpoints {
	mine, theirs := e.Fields(), over.Fields()
	for i := range mine {
		if *theirs[i].URL != "" {
			*mine[i].URL = *theirs[i].URL
		}
	}
	return e
}

// Under returns e with its relative URLs resolved against base.
func (e Endpoints) Under(base string) Endpoints {
	for _, f := range e.Fields() {
		if strings.HasPrefix(*f.URL, "/") {
			*f.URL = strings.TrimSuffix(base, "/") + *f.URL
		}
	}
	return e
}

// EndpointField is one URL of [Endpoints].
type EndpointField struct {
	Name string // key in the config
	URL  *string
}

// Fields returns all URLs, to read and to change, in the order of the struct.
func (e *Endpoints) Fields() []EndpointField {
	var all []EndpointField
	for field, value := range reflect.ValueOf(e).Elem().Fields() {
		if at, ok := reflect.TypeAssert[*string](value.Addr()); ok {
			all = append(all, EndpointField{field.Tag.Get("yaml"), at})
		}
	}
	return all
}

// All returns the URLs that are not empty, in the order of the struct.
func (e Endpoints) All() []string {
	var all []string
	for _, f := range e.Fields() {
		if *f.URL != "" {
			all = append(all, *f.URL)
		}
	}
	return all
}
