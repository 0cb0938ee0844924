package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// tokens answers every request with another token that lives for expires, a JSON value.
func tokens(f **standIn, expires string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":%s}`, (*f).secret("canary-"+rand.Text()), expires)
	}
}

func newPartner(t *testing.T, change func(*auth.Config)) *standIn {
	t.Helper()
	var f *standIn
	f = newStandIn(t, "client-credentials", tokens(&f, "3600"), change)
	return f
}

// The request to the letter, in each of the ways that can be configured.
func TestClientCredentialsRequest(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*auth.Config)
		want   string
	}{
		"by default": {
			func(*auth.Config) {},
			`POST /oauth/token application/json {"client_id":"client-one","client_secret":"` + clientSecret + `","grant_type":"client_credentials"}`,
		},
		"form": {
			func(c *auth.Config) { c.BodyStyle = provider.Form },
			`POST /oauth/token application/x-www-form-urlencoded client_id=client-one&client_secret=` + clientSecret + `&grant_type=client_credentials`,
		},
		"GET": {
			func(c *auth.Config) { c.Method = http.MethodGet },
			`GET /oauth/token?client_id=client-one&client_secret=` + clientSecret + `&grant_type=client_credentials  `,
		},
		"with everything": {
			func(c *auth.Config) {
				c.BaseURL += "/v2/"
				c.Audience, c.Scopes = "https://api.example.com/", []string{"read", "write"}
				c.Params = map[string]secret.String{"resource": secret.New("r1")}
			},
			`POST /v2/oauth/token application/json {"audience":"https://api.example.com/","client_id":"client-one","client_secret":"` + clientSecret + `","grant_type":"client_credentials","resource":"r1","scope":"read write"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newPartner(t, c.change)
			f.token(t)
			r := f.seen("")[0]
			if got := fmt.Sprintf("%s %s %s %s", r.method, r.uri, r.header.Get("Content-Type"), r.body); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// Nobody logs in: the first token is asked for when one is needed, by one request for all.
func TestClientCredentialsFirstToken(t *testing.T) {
	f := newPartner(t, nil)
	if s, err := f.Status(); err != nil || s.State != grant.Ready || !s.Refreshable || s.Provider != "client-credentials" {
		t.Errorf("before the first token: %+v, %v", s, err)
	} else if text, _ := json.Marshal(s); strings.Contains(string(text), "0001-01-01") {
		t.Errorf("%s", text)
	}
	if err := f.WaitActive(t.Context()); err != nil {
		t.Error(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := f.Token(t.Context()); err != nil || got.Generation != 1 {
				t.Errorf("generation %d, %v", got.Generation, err)
			}
		})
	}
	all.Wait()
	if n := len(f.seen("")); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	// It is on disk: another process asks nobody.
	if got, err := f.again().Token(t.Context()); err != nil || got != f.token(t) || len(f.seen("")) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if s, err := f.Status(); err != nil || s.State != grant.Active || !s.Refreshable {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
	// Refused by somebody: 20 callers, one request.
	for range 20 {
		all.Go(func() {
			if got, err := f.Refresh(t.Context(), 1); err != nil || got.Generation != 2 {
				t.Errorf("generation %d, %v", got.Generation, err)
			}
		})
	}
	all.Wait()
	if n := len(f.seen("")); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	err := f.Login(t.Context(), login.Options{})
	f.wantError(t, err, false, "no login in a browser; none is needed")
	for range 2 {
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := f.token(t); got.Generation != 1 {
		t.Errorf("after a logout: generation %d", got.Generation)
	}
}

// A stored grant of another provider counts as none.
func TestClientCredentialsOverAnother(t *testing.T) {
	f := newPartner(t, nil)
	f.token(t)
	g := f.grant(t)
	g.Provider, g.Generation = "treatstream", 7
	if err := f.store.Save("mystream", g); err != nil {
		t.Fatal(err)
	}
	if got := f.token(t); got.Generation != 8 || f.grant(t).Provider != "client-credentials" {
		t.Errorf("generation %d of %s", got.Generation, f.grant(t).Provider)
	}
}

// A stored token that cannot be used is replaced by another. Nobody has to do anything about it.
func TestClientCredentialsOverDamage(t *testing.T) {
	f := newPartner(t, nil)
	path := filepath.Join(f.dir, "mystream.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := f.Status(); err != nil || s.State != grant.Ready {
		t.Errorf("%+v, %v", s, err)
	}
	f.then(says(503, ""))
	_, err := f.Token(t.Context())
	f.wantError(t, err, false, "HTTP 503")
	if content, err := os.ReadFile(path); err != nil || string(content) != "{" {
		t.Errorf("replaced by nothing: %q, %v", content, err)
	}
	f.Account = f.again()
	got := f.token(t)
	if g := f.grant(t); g.AccessToken != got.AccessToken || g.State != grant.Active {
		t.Errorf("%s of generation %d", g.State, g.Generation)
	}
	for range 3 {
		f.token(t)
	}
	if n := strings.Count(f.log.String(), "the stored token cannot be used"); n != 2 || len(f.seen("")) != 2 {
		t.Errorf("said %d times in two processes, %d requests, want 2 and 2:\n%s", n, len(f.seen("")), f.log)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Logout(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClientCredentialsMargin(t *testing.T) {
	for expires, due := range map[string]time.Duration{
		"3600": 55 * time.Minute, "600": 450 * time.Second, `"3600"`: 55 * time.Minute, `""`: 675 * time.Second, "null": 675 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := provider.Lookup("client-credentials")
			var f *standIn
			f = newStandInOf(t, p, tokens(&f, expires), true, nil)
			f.token(t)
			time.Sleep(due - time.Second)
			if got := f.token(t); got.Generation != 1 {
				t.Errorf("expires_in %s: asked again a second too early", expires)
			}
			time.Sleep(2 * time.Second)
			if got := f.token(t); got.Generation != 2 {
				t.Errorf("expires_in %s: not asked again", expires)
			}
		})
	}
}

// The background has a token ready before anybody wants one, and keeps it fresh.
func TestClientCredentialsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := provider.Lookup("client-credentials")
		var f *standIn
		f = newStandInOf(t, p, tokens(&f, "3600"), true, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { f.Run(ctx) })
		defer run.Wait()
		defer cancel()
		time.Sleep(time.Minute)
		if n := len(f.seen("")); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		time.Sleep(24 * time.Hour)
		if n := len(f.seen("")); n < 25 || n > 28 {
			t.Errorf("%d requests in a day", n)
		}
		if text := f.log.String(); strings.Contains(text, "login") || strings.Contains(text, `"warn"`) {
			t.Error(text)
		}
	})
}

// A quota is no refusal of the client.
func TestClientOverItsQuota(t *testing.T) {
	f := newPartner(t, nil)
	f.then(says(403, `{"message":"quota exceeded"}`))
	_, err := f.Token(t.Context())
	f.wantError(t, err, false, "HTTP 403 (quota exceeded)", "next attempt in")
	if s, err := f.Status(); err != nil || s.State != grant.Ready {
		t.Errorf("%+v, %v", s, err)
	}
	if got, err := f.again().Token(t.Context()); err != nil || got.Generation != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A refused client is logged once, and sends nothing more until the config changes.
func TestClientIsRefused(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"by the RFC": says(401, `{"error":"invalid_client"}`),
		"in a 400":   says(400, `{"error":"unauthorized_client"}`),
		"in a 200":   says(200, `{"error":"invalid_client"}`),
		"in words":   says(401, `{"error":"Invalid client credentials"}`),
		"scope":      says(400, `{"error":"invalid_scope"}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := provider.Lookup("client-credentials")
				var f *standIn
				f = newStandInOf(t, p, tokens(&f, "3600"), true, nil)
				first := f.token(t)
				usual := f.always(answer)
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { f.Run(ctx) })
				defer run.Wait()
				defer cancel()
				time.Sleep(57 * time.Minute)
				if got := f.token(t); got != first {
					t.Error("the token that is still valid is not served")
				}
				time.Sleep(24 * time.Hour)
				for range 20 {
					_, err := f.Token(t.Context())
					f.wantError(t, err, true, "client refused: HTTP ", "correct client_id and client_secret in the config")
					if !errors.Is(err, grant.ErrClientRefused) || errors.Is(err, grant.ErrNone) || strings.Contains(err.Error(), "login") ||
						strings.Count(err.Error(), "client_id") != 1 {
						t.Fatal(err)
					}
				}
				if n := len(f.seen("")); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
				if n := strings.Count(f.log.String(), "the client is refused"); n != 1 {
					t.Errorf("logged %d times", n)
				}
				if s, err := f.Status(); err != nil || s.State != grant.ClientRefused || s.Refreshable || !strings.Contains(s.Reason, "HTTP ") {
					t.Errorf("%+v, %v", s, err)
				}
				// The next process has the corrected config.
				f.always(usual)
				if got, err := f.again().Token(t.Context()); err != nil || got.Generation != 2 {
					t.Errorf("%+v, %v", got, err)
				}
				// And this one takes what that one got, without a request of its own.
				if got, err := f.Token(t.Context()); err != nil || got.Generation != 2 || len(f.seen("")) != 3 {
					t.Errorf("%+v, %v", got, err)
				}
			})
		})
	}
}
