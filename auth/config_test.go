package auth_test

import (
	"strings"
	"testing"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

func TestProviders(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range provider.All() {
		if p.Name == "" || p.Title == "" || seen[p.Name] || p.Lifetimes.Margin <= 0 || p.Lifetimes.Access <= p.Lifetimes.Margin {
			t.Errorf("provider %+v", p)
		}
		seen[p.Name] = true
		got, ok := provider.Lookup(p.Name)
		if !ok || got.Title != p.Title {
			t.Errorf("Lookup(%q) = %v, %v", p.Name, got.Title, ok)
		}
		cfg := auth.Config{Account: "a", Provider: p, ClientID: "x", ClientSecret: secret.New("y")}
		if p.Name == "client-credentials" {
			cfg.BaseURL = "https://api.example.com"
		}
		if _, err := auth.New(cfg, nil, auth.Options{}); err != nil {
			t.Errorf("%s by its own defaults: %v", p.Name, err)
		}
	}
	if _, ok := provider.Lookup("nobody"); ok {
		t.Error("Lookup finds a provider that is not there")
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*auth.Config)
		want   string
	}{
		{"name", func(c *auth.Config) { c.Account = "My Stream" }, `accounts."My Stream": not a name`},
		{"provider", func(c *auth.Config) { c.Provider = provider.Provider{} }, "accounts.mystream.provider: missing"},
		{"client", func(c *auth.Config) { c.ClientID = "" }, "accounts.mystream.client_id: missing"},
		{"secret", func(c *auth.Config) { c.ClientSecret = secret.String{} }, "accounts.mystream.client_secret: missing"},
		{"redirect", func(c *auth.Config) { c.RedirectURL = "localhost:8919" }, "accounts.mystream.redirect_url: not a URL"},
		{"redirect fragment", func(c *auth.Config) { c.RedirectURL = "http://localhost/#x" }, "accounts.mystream.redirect_url: not a URL"},
		{"plain http", func(c *auth.Config) { c.Endpoints.Refresh = "http://example.com/" }, "accounts.mystream.endpoints.refresh: must begin with https://"},
		{"no loopback", func(c *auth.Config) { c.Endpoints.Token = "http://127.0.0.1.evil.example/" }, "accounts.mystream.endpoints.token: must begin with https://"},
		{"other scheme", func(c *auth.Config) { c.Endpoints.Token = "ftp://127.0.0.1/" }, "accounts.mystream.endpoints.token: must begin with https://"},
		{"user", func(c *auth.Config) { c.Endpoints.SocketToken = "https://u:p@example.com/" }, "accounts.mystream.endpoints.socket_token: not a URL"},
		{"nonsense", func(c *auth.Config) { c.Endpoints.Authorize = "::" }, "accounts.mystream.endpoints.authorize: not a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := provider.Lookup("treatstream")
			cfg := auth.Config{Account: "mystream", Provider: p, ClientID: "x", ClientSecret: secret.New("canary"), RedirectURL: redirectURL}
			c.change(&cfg)
			_, err := auth.New(cfg, nil, auth.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestConfigErrorsByProvider(t *testing.T) {
	for _, c := range []struct {
		name, provider string
		change         func(*auth.Config)
		want           string // empty: no error
	}{
		{"as it is", "treatstream", func(*auth.Config) {}, ""},
		{"a base", "treatstream", func(c *auth.Config) { c.BaseURL = "https://x.example" }, "base_url: TreatStream takes none; set endpoints"},
		{"style", "treatstream", func(c *auth.Config) { c.BodyStyle = "xml" }, "body_style: not one of form, json and query"},
		{"another style", "treatstream", func(c *auth.Config) { c.BodyStyle = provider.JSON }, ""},
		{"method", "treatstream", func(c *auth.Config) { c.Method = "GET" }, "method: TreatStream takes POST only"},
		{"redirect parameter", "treatstream", func(c *auth.Config) { c.RedirectParameter = "callback" }, "redirect_parameter: not one of"},
		{"no authorize", "treatstream", func(c *auth.Config) { c.Provider.Endpoints.Authorize = "" }, "endpoints.authorize: missing"},
		{"no token", "treatstream", func(c *auth.Config) { c.Provider.Endpoints.Token = "" }, "endpoints.token: missing"},
		{"scopes in one", "treatstream", func(c *auth.Config) { c.Scopes = []string{"a", "b c"} }, "scopes[1]: not one scope"},
		{"scopes in one", "camstreamer", func(c *auth.Config) { c.Scopes = []string{"read,write"} }, "scopes[0]: not one scope"},
		{"empty scope", "camstreamer", func(c *auth.Config) { c.Scopes = []string{""} }, "scopes[0]: not one scope"},
		{"no secret", "camstreamer", func(c *auth.Config) { c.ClientSecret = secret.String{} }, ""},
		{"no client", "camstreamer", func(c *auth.Config) { c.ClientID = "" }, "client_id: missing"},
		{"a reseller", "camstreamer", func(c *auth.Config) { c.BaseURL = "https://cams.example.com/oauth2/" }, ""},
		{"a relative endpoint", "camstreamer", func(c *auth.Config) { c.Endpoints.Token = "/token" }, "endpoints.token: not a URL"},
		{"as it is", "client-credentials", func(*auth.Config) {}, "base_url: missing"},
		{"with a token URL", "client-credentials", func(c *auth.Config) { c.Endpoints.Token = "https://x.example/t" }, ""},
		{"plain base", "client-credentials", func(c *auth.Config) { c.BaseURL = "http://x.example" }, "base_url: must begin with https://"},
		{"plain base here", "client-credentials", func(c *auth.Config) { c.BaseURL = "http://127.0.0.1:80" }, ""},
		{"odd base", "client-credentials", func(c *auth.Config) { c.BaseURL = "api.example.com" }, "base_url: not a URL"},
		{"base with a query", "client-credentials", func(c *auth.Config) { c.BaseURL = "https://x.example/?a=b" }, "base_url: must have no parameters"},
		{"GET", "client-credentials", func(c *auth.Config) { c.BaseURL, c.Method = "https://x.example", "GET" }, ""},
		{"GET with a body", "client-credentials", func(c *auth.Config) {
			c.BaseURL, c.Method, c.BodyStyle = "https://x.example", "GET", provider.JSON
		}, "body_style: a GET has no body"},
		{"PUT", "client-credentials", func(c *auth.Config) { c.BaseURL, c.Method = "https://x.example", "PUT" }, "method: not one of POST and GET"},
		{"no secret", "client-credentials", func(c *auth.Config) { c.BaseURL, c.ClientSecret = "https://x.example", secret.String{} }, "client_secret: missing"},
		{"own grant type", "client-credentials", func(c *auth.Config) {
			c.BaseURL, c.Params = "https://x.example", map[string]secret.String{"grant_type": secret.New("canary")}
		}, "params.grant_type: cannot be set"},
		{"scope among params", "client-credentials", func(c *auth.Config) {
			c.BaseURL, c.Params = "https://x.example", map[string]secret.String{"scope": secret.New("canary")}
		}, "params.scope: set scopes instead"},
		{"as it is", "treesnap", func(c *auth.Config) { c.ClientID, c.ClientSecret = "", secret.String{} }, ""},
		{"with scopes", "treesnap", func(c *auth.Config) { c.Scopes = []string{"x"} }, "scopes: TreeSnap takes none"},
		{"two hosts", "treesnap", func(c *auth.Config) { c.Endpoints.Refresh = "https://x.example/refresh" }, "endpoints.probe: is on another host"},
		{"a host of its own", "treesnap", func(c *auth.Config) { c.BaseURL = "https://trees.example.org/v1" }, ""},
	} {
		t.Run(c.provider+" "+c.name, func(t *testing.T) {
			p, _ := provider.Lookup(c.provider)
			cfg := auth.Config{Account: "a", Provider: p, ClientID: "x", ClientSecret: secret.New("canary")}
			c.change(&cfg)
			_, err := auth.New(cfg, nil, auth.Options{})
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "accounts.a."+c.want) || strings.Contains(err.Error(), "canary")):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestConfigEffective(t *testing.T) {
	p, _ := provider.Lookup("client-credentials")
	got := auth.Config{
		Account: "a", Provider: p, ClientID: "x", ClientSecret: secret.New("y"),
		Overrides: auth.Overrides{BaseURL: "https://api.example.com", Method: "GET", Params: map[string]secret.String{"p": secret.New("z")}},
	}.Effective()
	if got.Endpoints.Token != "https://api.example.com/oauth/token" || got.BodyStyle != provider.Query || got.Method != "GET" || got.ClientID != "x" || len(got.Params) != 1 {
		t.Errorf("Effective = %+v", got)
	}
	p, _ = provider.Lookup("treatstream")
	got = auth.Config{Account: "a", Provider: p, Overrides: auth.Overrides{Endpoints: provider.Endpoints{Socket: "https://h/"}}}.Effective()
	if got.Endpoints.Socket != "https://h/" || got.Endpoints.Token != p.Endpoints.Token || len(got.Scopes) == 0 || got.Method != "POST" {
		t.Errorf("Effective = %+v", got)
	}
}
