package auth

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/loopback"
	"github.com/treatrelay/relay/internal/secret"
)

// Config is one account as the user configured it. An empty field means the value of the provider.
type Config struct {
	Account      string // its name: [a-z0-9][a-z0-9_-]{0,62}
	Provider     provider.Provider
	ClientID     string        // unused with a [provider.PersonalToken]
	ClientSecret secret.String // may be empty if [provider.Login] has SecretOptional or PKCE
	RedirectURL  string        // as registered at the provider; [Account.Login] requires a loopback one
	Overrides
}

// Overrides are values of the config that replace those of the provider.
type Overrides struct {
	Endpoints provider.Endpoints // the non-empty ones replace the provider's
	BaseURL   string             // replaces the provider's; relative endpoints are below it
	Scopes    []string           // replace the provider's
	BodyStyle provider.BodyStyle // replaces the provider's
	Method    string             // of token requests: POST; or GET, only with [provider.ClientCredentials], which implies [provider.Query]
	Audience  string             // added to every token request as the parameter audience
	// Params are added to every token request. The parameters of RFC 6749 itself are not allowed.
	Params map[string]secret.String
	// RedirectParameter is the name of the redirect URL in the authorize URL: redirect_uri or redirect_url.
	RedirectParameter string
}

// provider returns the provider with the overrides of the config.
func (cfg Config) provider() provider.Provider {
	p := cfg.Provider
	p.BaseURL = cmp.Or(cfg.BaseURL, p.BaseURL)
	if p.BaseURL != "" {
		p.Endpoints = p.Endpoints.Under(p.BaseURL)
	}
	p.Endpoints = p.Endpoints.With(cfg.Endpoints)
	p.Grant = cmp.Or(p.Grant, provider.AuthorizationCode)
	if p.Grant == provider.AuthorizationCode {
		p.Endpoints.Refresh = cmp.Or(p.Endpoints.Refresh, p.Endpoints.Token)
	}
	if cfg.Scopes != nil {
		p.Login.Scopes = slices.Clone(cfg.Scopes)
	}
	p.Request.Method = cmp.Or(cfg.Method, p.Request.Method, http.MethodPost)
	p.Request.Style = cmp.Or(cfg.BodyStyle, p.Request.Style, provider.Form)
	if p.Request.Method == http.MethodGet {
		p.Request.Style = provider.Query
	}
	p.Login.RedirectParameter = cmp.Or(cfg.RedirectParameter, p.Login.RedirectParameter, "redirect_uri")
	params := maps.Clone(p.Request.Params)
	if params == nil {
		params = make(map[string]secret.String, len(cfg.Params)+1)
	}
	maps.Copy(params, cfg.Params)
	if cfg.Audience != "" {
		params["audience"] = secret.New(cfg.Audience)
	}
	p.Request.Params = params
	return p
}

// Effective returns the config with empty fields set to the values of the provider. ClientSecret, Audience and Params
// stay as they are.
func (cfg Config) Effective() Config {
	p := cfg.provider()
	cfg.Endpoints, cfg.BaseURL, cfg.Scopes = p.Endpoints, p.BaseURL, p.Login.Scopes
	cfg.BodyStyle, cfg.Method, cfg.RedirectParameter = p.Request.Style, p.Request.Method, p.Login.RedirectParameter
	return cfg
}

// check returns an error for each wrong field. p must come from cfg.provider.
func (cfg Config) check(p provider.Provider) error {
	if !grant.ValidAccount(cfg.Account) {
		return fmt.Errorf("accounts.%q: not a name: use a-z, 0-9, _ and -, beginning with a letter or a digit, at most 63 of them", cfg.Account)
	}
	if p.Name == "" {
		return fmt.Errorf("accounts.%s.provider: missing", cfg.Account)
	}
	var wrong []error
	complain := func(field, why string) {
		wrong = append(wrong, fmt.Errorf("accounts.%s.%s: %s", cfg.Account, field, why))
	}
	if p.Grant != provider.PersonalToken && cfg.ClientID == "" {
		complain("client_id", "missing; find it in the API settings of "+p.Title)
	}
	if p.Grant != provider.PersonalToken && cfg.ClientSecret.Empty() && !p.Login.SecretOptional && !p.Login.PKCE {
		complain("client_secret", "missing; find it in the API settings of "+p.Title)
	}
	if cfg.RedirectURL != "" {
		if u, err := url.Parse(cfg.RedirectURL); err != nil || u.Host == "" || u.Fragment != "" {
			complain("redirect_url", "not a URL such as http://localhost:8919")
		}
	}
	cfg.checkAddresses(p, complain)
	cfg.checkRequest(p, complain)
	return errors.Join(wrong...)
}

func (cfg Config) checkAddresses(p provider.Provider, complain func(field, why string)) {
	own, given := cfg.Provider.Endpoints, cfg.Endpoints
	relative, missing := false, false
	for i, f := range p.Endpoints.Fields() {
		ownURL, givenURL := *own.Fields()[i].URL, *given.Fields()[i].URL
		isRelative := strings.HasPrefix(ownURL, "/")
		relative = relative || isRelative
		switch {
		case *f.URL == "":
		case isRelative && givenURL == "" && p.BaseURL == "":
			missing = true
		case isRelative && givenURL == "": // If it is wrong, base_url is.
		default:
			if why := badURL(*f.URL); why != "" {
				complain("endpoints."+f.Name, why)
			}
		}
	}
	switch {
	case cfg.BaseURL != "" && !relative:
		complain("base_url", p.Title+" takes none; set endpoints")
	case missing:
		complain("base_url", "missing; the address under which the API is, such as https://api.example.com")
	case relative && p.BaseURL != "":
		if why := badURL(p.BaseURL); why != "" {
			complain("base_url", why)
		} else if strings.Contains(p.BaseURL, "?") {
			complain("base_url", "must have no parameters")
		}
	}
	need := func(name, value string) {
		if value == "" {
			complain("endpoints."+name, "missing")
		}
	}
	switch p.Grant {
	case provider.AuthorizationCode:
		need("authorize", p.Endpoints.Authorize)
		need("token", p.Endpoints.Token)
	case provider.ClientCredentials:
		need("token", p.Endpoints.Token)
	case provider.PersonalToken:
		need("refresh", p.Endpoints.Refresh)
		if p.Endpoints.Probe != "" && hostOf(p.Endpoints.Probe) != hostOf(p.Endpoints.Refresh) {
			complain("endpoints.probe", "is on another host than endpoints.refresh, which would get the token too; set base_url to move both")
		}
	}
}

func (cfg Config) checkRequest(p provider.Provider, complain func(field, why string)) {
	if !slices.Contains([]provider.BodyStyle{provider.Form, provider.JSON, provider.Query}, p.Request.Style) {
		complain("body_style", "not one of form, json and query")
	}
	switch {
	case p.Request.Method != http.MethodPost && p.Request.Method != http.MethodGet:
		complain("method", "not one of POST and GET")
	case p.Request.Method == http.MethodGet && p.Grant != provider.ClientCredentials:
		complain("method", p.Title+" takes POST only")
	case p.Request.Method == http.MethodGet && cfg.BodyStyle != "" && cfg.BodyStyle != provider.Query:
		complain("body_style", "a GET has no body: leave it out, or set method to POST")
	}
	if !slices.Contains([]string{"redirect_uri", "redirect_url"}, p.Login.RedirectParameter) {
		complain("redirect_parameter", "not one of redirect_uri and redirect_url")
	}
	separator := cmp.Or(p.Login.ScopeSeparator, " ")
	for i, scope := range cfg.Scopes {
		// RFC 6749 section 3.3 lists the characters of a scope.
		invalid := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
		if scope == "" || strings.ContainsFunc(scope, invalid) || strings.Contains(scope, separator) {
			complain(fmt.Sprintf("scopes[%d]", i), "not one scope; give each an entry of its own")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Params)) {
		switch name {
		case "scope":
			complain("params."+name, "set scopes instead")
		case "audience":
			complain("params."+name, "set audience instead")
		case "", "client_id", "client_secret", "grant_type", "code", "code_verifier", "redirect_uri", "refresh_token", "access_token":
			complain("params."+name, "cannot be set")
		}
	}
	if p.Grant != provider.PersonalToken {
		return
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"scopes", cfg.Scopes != nil},
		{"body_style", cfg.BodyStyle != ""},
		{"audience", cfg.Audience != ""},
		{"params", len(cfg.Params) > 0},
		{"redirect_parameter", cfg.RedirectParameter != ""},
	} {
		if f.given {
			complain(f.name, p.Title+" takes none")
		}
	}
}

// badURL returns why relay must not send tokens to address, or an empty string. It quotes no part of it.
func badURL(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "not a URL such as https://example.com/path"
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())):
		return "must begin with https://; plain http is for this machine only"
	}
	return ""
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
