// Package provider is what relay knows of the services that give it tokens, as data: their addresses, the way they want to be
// asked, how long their tokens last and what their error codes mean. A service is added by one value and a line in [All].
package provider

import (
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// Endpoints are the URLs of a provider. In a configuration an empty field leaves the provider's own URL in place. A URL must use
// https, or http to a loopback host. In a [Provider] a URL that begins with / is under its BaseURL.
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

// BodyStyle is where a token request carries its parameters. It is fixed for each provider: a client that tries one
// style after the other sends a single-use code twice.
type BodyStyle string

// The three styles in use.
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

// GrantType is how an account comes by its first token.
type GrantType string

// The three ways to a token.
const (
	AuthorizationCode GrantType = "authorization_code" // a login in the browser, RFC 6749 section 4.1; the default
	ClientCredentials GrantType = "client_credentials" // asked for without a user, RFC 6749 section 4.4
	// PersonalToken: the user makes it at the provider's site and gives it to relay. From then on it is
	// its own refresh token: it is exchanged for another one while it is valid, and never after.
	PersonalToken GrantType = "personal_token"
)

// A Provider is a service that gives tokens. It is a plain value and safe to copy. One that follows RFC 6749 to the letter needs
// a Name, a Title, the URLs Authorize and Token, and in Life how long an access token lives and the margin.
type Provider struct {
	Name      string // as the config names it
	Title     string // as people know it
	BaseURL   string // what relative endpoints are under; empty when the config has to give it
	Endpoints Endpoints

	Grant     GrantType
	TokenPage string // where a person makes a PersonalToken
	Login     Login
	Request   Request
	Life      Life
	Codes     Codes
	// OneShot says that a refresh spends the access token as well. When the reply to a refresh is lost, a refused
	// access token then proves that the grant is gone, and nothing is sent again. An error of the server is
	// taken for a lost reply.
	OneShot bool
}

// Login is how a login in the browser goes, and who may ask for one.
type Login struct {
	Scopes            []string          // asked for at login
	ScopeSeparator    string            // between scopes; a space when empty
	ScopeInExchange   bool              // whether the token request of a login repeats the scopes
	RedirectParameter RedirectParameter // what the authorize URL calls the redirect URL; redirect_uri when empty
	PKCE              bool              // whether a login proves itself by RFC 7636, method S256
	SecretOptional    bool              // whether a client without a secret is served
}

// Request is how token requests are written.
type Request struct {
	Style  BodyStyle                // Form when empty
	Method Method                   // POST when empty
	Params map[string]secret.String // added to every token request
	// RevokeParameter is what the revoke request calls the access token, which is then all it carries. Empty means
	// RFC 7009: the client, and the refresh token or else the access token.
	RevokeParameter string
}

// Life is how long tokens last. Access and Refresh stand in where a reply does not say.
type Life struct {
	Access  time.Duration // of an access token
	Refresh time.Duration // of a refresh token; zero means that refresh tokens do not end
	// Margin is how long before its expiry an access token is refreshed. For a token that lives shorter than
	// four margins it is a quarter of the token's life, so that no short-lived token is refreshed at every call.
	Margin time.Duration
}

// Codes are error codes of the provider's own, in lower case. A word that is all of a message counts as one.
type Codes struct {
	Harmless []string // about the request, whatever their words say about tokens
	Grant    []string // beside those of RFC 6749 and RFC 6750: the token or grant is no good
}

// All lists every provider, in the order in which documentation names them.
func All() []Provider {
	return []Provider{
		treatStream(),
		treeSnap(),
		camStreamer(),
		clientCredentials(),
	}
}

// Lookup finds a provider by its name.
func Lookup(name string) (Provider, bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return all[i], true
}

// With returns e with the non-empty fields of over in place of its own.
func (e Endpoints) With(over Endpoints) Endpoints {
	mine, theirs := e.Fields(), over.Fields()
	for i := range mine {
		if *theirs[i].URL != "" {
			*mine[i].URL = *theirs[i].URL
		}
	}
	return e
}

// Under returns e with the relative URLs made absolute.
func (e Endpoints) Under(base string) Endpoints {
	for _, f := range e.Fields() {
		if strings.HasPrefix(*f.URL, "/") {
			*f.URL = strings.TrimSuffix(base, "/") + *f.URL
		}
	}
	return e
}

// EndpointField is one of the URLs.
type EndpointField struct {
	Name string // as the config spells it
	URL  *string
}

// Fields gives all URLs, to be read and changed, in the order of the struct.
func (e *Endpoints) Fields() []EndpointField {
	var all []EndpointField
	for field, value := range reflect.ValueOf(e).Elem().Fields() {
		if at, ok := reflect.TypeAssert[*string](value.Addr()); ok {
			all = append(all, EndpointField{field.Tag.Get("yaml"), at})
		}
	}
	return all
}

// All are the URLs that are not empty, in the order of the fields.
func (e Endpoints) All() []string {
	var all []string
	for _, f := range e.Fields() {
		if *f.URL != "" {
			all = append(all, *f.URL)
		}
	}
	return all
}

// Loopback reports whether host is this machine, to which plain http is allowed.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
