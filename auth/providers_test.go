package auth_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// everyProvider are the four, and one that is plain RFC 6749.
func everyProvider() []provider.Provider { return append(provider.All(), plain()) }

// begun is an account that has its first token, at a stand-in that gives every other what it asks for.
func begun(t *testing.T, p provider.Provider, piped bool, change func(*auth.Config)) *standIn {
	t.Helper()
	var s *standIn
	s = newStandInOf(t, p, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			_, _ = fmt.Fprintf(w, `{"socket_token":%q}`, s.secret("canary-socket-"+rand.Text()))
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q}`, s.secret("canary-a-"+rand.Text()), s.secret("canary-r-"+rand.Text()))
	}, piped, change)
	s.begin(t)
	return s
}

func (s *standIn) begin(t *testing.T) {
	t.Helper()
	var err error
	switch s.cfg.Provider.Grant {
	case provider.ClientCredentials:
		_, err = s.Token(t.Context())
	case provider.PersonalToken:
		err = s.ImportToken(t.Context(), secret.New(s.secret("canary-p-"+rand.Text())))
	default:
		err = s.Exchange(t.Context(), secret.New(s.secret("canary-c-"+rand.Text())), redirectURL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// soon makes the stored grant one that is due and still valid.
func (s *standIn) soon(t *testing.T) {
	t.Helper()
	g := s.grant(t)
	s.age(t, time.Until(g.Expiry)-time.Minute)
}

// Every reply that holds a token is one, and loses none.
func TestReplyTable(t *testing.T) {
	php := `{"date":"2126-07-03 19:32:09.000000","timezone_type":3,"timezone":"UTC"}`
	for _, p := range everyProvider() {
		for name, c := range map[string]struct {
			status   int
			kind     string
			body     string
			lifetime time.Duration // zero: the provider's
		}{
			"integer":          {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}`, time.Hour},
			"string":           {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":"3600"}`, time.Hour},
			"float":            {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600.0}`, time.Hour},
			"empty":            {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":""}`, 0},
			"null":             {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":null}`, 0},
			"missing":          {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh"}`, 0},
			"text/plain":       {200, "text/plain", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}`, time.Hour},
			"text/html":        {200, "text/html", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}`, time.Hour},
			"no type":          {200, "", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}`, time.Hour},
			"201":              {201, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","error_code":0,"message":"ok","expires_in":3600}`, time.Hour},
			"PHP date, absurd": {201, "application/json", `{"access_token":"canary-new","expires_at":` + php + `,"error_code":0}`, 0},
			"ISO date":         {200, "application/json", `{"access_token":"canary-new","expires_at":"` + time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339) + `"}`, 48 * time.Hour},
			"no refresh token": {200, "application/json", `{"access_token":"canary-new","expires_in":3600}`, time.Hour},
			"empty one":        {200, "application/json", `{"access_token":"canary-new","refresh_token":"","expires_in":3600}`, time.Hour},
			"trailing garbage": {200, "application/json", `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}<!-- 0.1 s -->`, time.Hour},
			"byte order mark":  {200, "application/json", "\xef\xbb\xbf" + `{"access_token":"canary-new","refresh_token":"canary-fresh","expires_in":3600}`, time.Hour},
		} {
			t.Run(p.Name+" "+name, func(t *testing.T) {
				s := begun(t, p, false, nil)
				s.secret("canary-new")
				s.secret("canary-fresh")
				before := s.grant(t)
				s.then(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", c.kind)
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				})
				got, err := s.Refresh(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				lifetime := c.lifetime
				if lifetime == 0 {
					lifetime = p.Lifetimes.Access
				}
				g := s.grant(t)
				if got.AccessToken != secret.New("canary-new") || g.AccessToken != got.AccessToken || !about(got.Expiry, time.Now().Add(lifetime)) {
					t.Errorf("%+v, want canary-new for %s", got, lifetime)
				}
				refresh := before.RefreshToken
				if strings.Contains(c.body, "canary-fresh") && g.RefreshToken != refresh {
					refresh = secret.New("canary-fresh")
				}
				if g.RefreshToken != refresh || g.State != grant.Active || g.Generation != 2 {
					t.Errorf("stored: state %s, generation %d, or another refresh token", g.State, g.Generation)
				}
			})
		}
	}
}

// Nothing that may pass ends a grant, whoever the provider is, and the token it has is served meanwhile.
func TestOutageOfEveryProvider(t *testing.T) {
	for _, p := range everyProvider() {
		for name, fault := range map[string]http.HandlerFunc{
			"500":                       says(500, "oops"),
			"500 that speaks of tokens": says(500, `{"error":"invalid_grant"}`),
			"502":                       says(502, "<html>"),
			"503":                       says(503, `{"message":"maintenance"}`, "Retry-After", "120"),
			"504":                       says(504, ""),
			"429":                       says(429, `{"message":"Too Many Attempts."}`),
			"408":                       says(408, ""),
			"error in a 200":            says(200, `{"error":"System error"}`),
			"404":                       says(404, "<html>"),
			"a firewall":                says(403, "<!DOCTYPE html>", "Content-Type", "text/html"),
			"redirect":                  says(307, "", "Location", "http://127.0.0.1:1/steal"),
			"reset":                     reset,
			"huge":                      says(200, strings.Repeat("x", 10<<20)),
		} {
			t.Run(p.Name+" "+name, func(t *testing.T) {
				s := begun(t, p, false, nil)
				s.soon(t)
				before := s.grant(t)
				s.then(fault)
				if got, err := s.Token(t.Context()); err != nil || got.Generation != 1 || got.AccessToken != before.AccessToken {
					t.Fatalf("generation %d, %v: the token is valid", got.Generation, err)
				}
				g := s.grant(t)
				if g.State == grant.ReauthorizeNeeded || g.AccessToken != before.AccessToken || g.RefreshToken != before.RefreshToken {
					t.Fatalf("state %s (%s)", g.State, g.Reason)
				}
				asked := len(s.seen(""))
				for range 20 {
					_, _ = s.Token(t.Context())
				}
				if n := len(s.seen("")); n != asked {
					t.Errorf("%d more requests within the backoff", n-asked)
				}
				// Whoever cannot try a token waits until there is nothing left to lose by trying.
				if g.State == grant.RefreshOutcomeUnknown && p.Endpoints.Probe == "" && p.Endpoints.SocketToken == "" {
					s.age(t, 2*time.Minute)
				}
				if got, err := s.again().Token(t.Context()); err != nil || got.Generation != 2 || s.grant(t).State != grant.Active {
					t.Errorf("after the outage: generation %d, %v", got.Generation, err)
				}
			})
		}
	}
}

func TestMarginOfEveryProvider(t *testing.T) {
	margins := map[string]time.Duration{
		"treatstream": 3 * day, "treesnap": 30 * day, "camstreamer": 10 * time.Minute, "client-credentials": 15 * time.Minute / 4, "plain": 10 * time.Minute,
	}
	for _, p := range everyProvider() {
		t.Run(p.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begun(t, p, true, nil) // Its replies say nothing of an end.
				margin, ok := margins[p.Name]
				if !ok {
					t.Fatal("a provider without a margin here")
				}
				time.Sleep(p.Lifetimes.Access - margin - time.Second)
				if got := s.token(t); got.Generation != 1 {
					t.Error("refreshed a second before the margin")
				}
				time.Sleep(2 * time.Second)
				if got := s.token(t); got.Generation != 2 {
					t.Error("not refreshed within the margin")
				}
				asked := len(s.seen(""))
				if got := s.token(t); got.Generation != 2 || len(s.seen("")) != asked {
					t.Error("refreshed twice")
				}
			})
		})
	}
}

// Whatever a provider answers, and wherever it echoes what was sent, no secret shows.
func TestNoSecretOfEveryProvider(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			w.Header().Set("Location", "http://127.0.0.1:1/?"+r.URL.RawQuery)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"error":"bad request to %s","error_description":%q,"message":"%s %s %s %s"}`, r.RequestURI, body,
				r.Header.Get("Authorization"), form.Get("access_token"), r.URL.Query().Get("client_secret"), r.URL.Query().Get("refresh_token"))
		}
	}
	for _, p := range everyProvider() {
		for _, style := range []provider.BodyStyle{provider.Form, provider.JSON, provider.Query} {
			if p.Grant == provider.PersonalToken && style != provider.Form {
				continue
			}
			t.Run(p.Name+" by "+string(style), func(t *testing.T) {
				var said []string
				for _, status := range []int{200, 201, 301, 307, 400, 401, 403, 404, 429, 500, 502} {
					s := begun(t, p, false, func(c *auth.Config) {
						c.Provider.Request.Style = style
						if c.Provider.Endpoints.Revoke == "" && p.Name != "treatstream" {
							c.Provider.Endpoints.Revoke = "/revoke"
						}
					})
					s.Account = s.again()
					s.always(echo(status))
					note := func(err error) {
						if err != nil {
							said = append(said, fmt.Sprintf("%v %+v %#v %s", err, err, err, err))
						}
					}
					note(s.Logout(t.Context()))
					_, err := s.Token(t.Context())
					note(err)
					_, err = s.Refresh(t.Context(), 0)
					note(err)
					_, err = s.again().Refresh(t.Context(), 0) // With the probe.
					note(err)
					note(s.Exchange(t.Context(), secret.New(s.secret("canary-c-"+rand.Text())), redirectURL))
					note(s.ImportToken(t.Context(), secret.New(s.secret("canary-p-"+rand.Text()))))
					s.fake.server.Close()
					_, err = s.again().Refresh(t.Context(), 0)
					note(err)
					if status, err := s.Status(); err == nil {
						said = append(said, fmt.Sprintf("%+v", status))
					}
					if g, err := s.store.Load("mystream"); err == nil {
						said = append(said, fmt.Sprintf("%v %+v %#v", g, g, g.Reason))
					}
					said = append(said, fmt.Sprintf("%+v %#v", s.Account, s.cfg))
					s.fake.findSecrets(fmt.Sprintf("%s by %s, status %d", p.Name, style, status), strings.Join(said, "\n"))
				}
				if len(said) < 40 {
					t.Errorf("only %d texts: the test tests nothing", len(said))
				}
			})
		}
	}
}
