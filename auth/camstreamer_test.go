package auth_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
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

// fakeCamStreamer is CamStreamer Cloud as its documentation has it: everything in the query, errors in free text with 200.
type fakeCamStreamer struct {
	*standIn
	mu              sync.Mutex
	access, refresh string
	oneTime         bool // gives no refresh token
}

func newCamStreamer(t *testing.T, change func(*auth.Config)) *fakeCamStreamer {
	f := &fakeCamStreamer{}
	f.standIn = newStandIn(t, "camstreamer", f.answer, change)
	return f
}

func (f *fakeCamStreamer) answer(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	query := r.URL.Query()
	if r.Method != http.MethodPost || len(r.PostForm) != 0 || r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
		f.t.Errorf("%s %s with a body of %d bytes", r.Method, r.URL.Path, r.ContentLength)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8") // Nobody promised another.
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	switch {
	case r.URL.Path == "/revoke":
		if len(query) != 1 || query.Get("access_token") != f.access {
			say(`{"success":false,"message":"Invalid access token"}`)
			return
		}
		f.access, f.refresh = "", ""
		say(`{"success":true,"message":"Access token revoked"}`)
	case r.URL.Path != "/token":
		f.t.Errorf("%s %s", r.Method, r.URL.Path)
	case query.Get("client_id") != clientID || query.Has("client_secret") && query.Get("client_secret") != clientSecret:
		say(`{"error":"Unknown client"}`)
	case query.Get("grant_type") == "authorization_code" && strings.HasPrefix(query.Get("code"), "canary-code") && query.Get("redirect_uri") == redirectURL,
		query.Get("grant_type") == "refresh_token" && f.refresh != "" && query.Get("refresh_token") == f.refresh:
		f.access, f.refresh = f.secret("canary-access-"+rand.Text()), f.secret("canary-refresh-"+rand.Text())
		if f.oneTime || !query.Has("client_secret") {
			f.refresh = ""
			say(`{"access_token":%q,"expires_in":3600}`, f.access)
			return
		}
		say(`{"access_token":%q,"expires_in":3600,"refresh_token":%q}`, f.access, f.refresh)
	default:
		say(`{"error":"Invalid refresh token"}`)
	}
}

func (f *fakeCamStreamer) login(t *testing.T) {
	t.Helper()
	if err := f.Exchange(t.Context(), secret.New(f.secret("canary-code-"+rand.Text())), redirectURL); err != nil {
		t.Fatal(err)
	}
}

func TestCamStreamerAuthorize(t *testing.T) {
	p, _ := provider.Lookup("camstreamer")
	for name, c := range map[string]struct {
		change func(*auth.Config)
		want   string
	}{
		"by default": {
			func(*auth.Config) {},
			"https://system2.netrex.cz/oauth2/auth/?client_id=client-one&redirect_uri=http%3A%2F%2Flocalhost%3A8919%2Fback&response_type=code&scope=read%2Cwrite&state=s1",
		},
		"with the other name": {
			func(c *auth.Config) { c.RedirectParameter = "redirect_url" },
			"https://system2.netrex.cz/oauth2/auth/?client_id=client-one&redirect_url=http%3A%2F%2Flocalhost%3A8919%2Fback&response_type=code&scope=read%2Cwrite&state=s1",
		},
		"with other scopes": {
			func(c *auth.Config) { c.Scopes = []string{"read", "liveview", "events"} },
			"https://system2.netrex.cz/oauth2/auth/?client_id=client-one&redirect_uri=http%3A%2F%2Flocalhost%3A8919%2Fback&response_type=code&scope=read%2Cliveview%2Cevents&state=s1",
		},
		"with no scope": {
			func(c *auth.Config) { c.Scopes = []string{} },
			"https://system2.netrex.cz/oauth2/auth/?client_id=client-one&redirect_uri=http%3A%2F%2Flocalhost%3A8919%2Fback&response_type=code&state=s1",
		},
	} {
		cfg := auth.Config{Account: "cam", Provider: p, ClientID: clientID, RedirectURL: redirectURL}
		c.change(&cfg)
		a, err := auth.New(cfg, nil, auth.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.AuthorizeURL("s1", redirectURL); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestCamStreamerUnlimited(t *testing.T) {
	f := newCamStreamer(t, nil)
	f.login(t)
	f.age(t, 49*time.Minute)
	if got := f.token(t); got.Generation != 1 {
		t.Error("refreshed 11 minutes ahead")
	}
	f.age(t, 2*time.Minute)
	if got := f.token(t); got.Generation != 2 || !about(got.Expiry, time.Now().Add(time.Hour)) {
		t.Errorf("generation %d until %s", got.Generation, got.Expiry)
	}
	all := f.seen("/token")
	if len(all) != 2 || all[0].query.Get("client_secret") != clientSecret || all[1].query.Get("grant_type") != "refresh_token" || all[1].query.Has("redirect_uri") {
		t.Errorf("%d requests, the last %v", len(all), all[len(all)-1].query)
	}
	// Revoked by the user, at the site.
	f.refresh = "another"
	_, err := f.Refresh(t.Context(), 0)
	f.wantError(t, err, true, "login needed", "refused the refresh token: HTTP 200 (Invalid refresh token)", "relay auth login mystream")
}

// One-time access ends with its token: served to the end, warned of ahead, and then a login is needed. Nothing is sent.
func TestCamStreamerOneTime(t *testing.T) {
	for name, change := range map[string]func(*auth.Config){
		"granted so":       nil,
		"without a secret": func(c *auth.Config) { c.ClientSecret = secret.String{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeCamStreamer{oneTime: name == "granted so"}
				p, _ := provider.Lookup("camstreamer")
				f.standIn = newStandInOf(t, p, f.answer, true, change)
				f.login(t)
				if s, err := f.Status(); err != nil || s.Refreshable {
					t.Errorf("%+v, %v", s, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { f.Run(ctx) })
				defer run.Wait()
				defer cancel()
				warnings := func() int { return strings.Count(f.log.String(), "the grant ends soon") }
				time.Sleep(44 * time.Minute)
				if n := warnings(); n != 0 {
					t.Errorf("%d warnings 16 minutes ahead", n)
				}
				time.Sleep(15 * time.Minute)
				if got := f.token(t); got.Generation != 1 || warnings() != 1 {
					t.Errorf("generation %d, %d warnings", got.Generation, warnings())
				}
				time.Sleep(2 * time.Minute)
				_, err := f.Token(t.Context())
				f.wantError(t, err, true, "login needed", "the provider gave no refresh token", "relay auth login mystream")
				if g := f.grant(t); g.State != grant.ReauthorizeNeeded || len(f.seen("")) != 1 {
					t.Errorf("state %s after %d requests", g.State, len(f.seen("")))
				}
			})
		})
	}
}

// One-time access is good until it ends, whoever would like another token before: an operator, or a webhook that got a 401.
func TestCamStreamerOneTimeIsNotRenewed(t *testing.T) {
	f := newCamStreamer(t, nil)
	f.oneTime = true
	f.login(t)
	before := f.grant(t)
	for _, generation := range []int64{0, before.Generation} {
		_, err := f.Refresh(t.Context(), generation)
		f.wantError(t, err, false, "refresh mystream: ", "cannot be renewed", "it ends at "+before.Expiry.Format(time.RFC3339), "relay auth login mystream")
	}
	if g := f.grant(t); g != before || g.State != grant.Active {
		t.Errorf("the grant is %s (%s), want it as it was", g.State, g.Reason)
	}
	if got := f.token(t); got.Generation != 1 || len(f.seen("")) != 1 {
		t.Errorf("generation %d after %d requests", got.Generation, len(f.seen("")))
	}
}

// A short outage must not cost a grant whose provider has no way to try a token: when the token is over, nothing is
// left to lose by trying the refresh token.
func TestCamStreamerLostReply(t *testing.T) {
	f := newCamStreamer(t, nil)
	f.login(t)
	f.age(t, 55*time.Minute)
	f.then(says(502, "<html>bad gateway"), reset)
	for range 3 {
		if got, err := f.again().Token(t.Context()); err != nil || got.Generation != 1 {
			t.Errorf("generation %d, %v: the valid token is served", got.Generation, err)
		}
	}
	if n := len(f.seen("/token")); n != 2 {
		t.Errorf("%d requests, want 2: nothing goes out twice while the token lasts", n)
	}
	if s, err := f.Status(); err != nil || s.Fix.String() != "run: relay auth login mystream" {
		t.Errorf("%+v, %v: nobody can try the token", s, err)
	}
	f.age(t, 10*time.Minute)
	_, err := f.again().Token(t.Context())
	f.wantError(t, err, false, "no answer from")
	if got, err := f.again().Token(t.Context()); err != nil || got.Generation != 2 {
		t.Errorf("generation %d, %v", got.Generation, err)
	}
	// Had the refresh been carried out, the provider says so now.
	f.age(t, 61*time.Minute)
	f.then(f.lost)
	_, err = f.again().Token(t.Context())
	f.wantError(t, err, false, "no answer from")
	_, err = f.again().Token(t.Context())
	f.wantError(t, err, true, "login needed", "the answer to an earlier refresh was lost")
}

func TestLogoutRevokes(t *testing.T) {
	t.Run("a valid token", func(t *testing.T) {
		f := newCamStreamer(t, nil)
		f.login(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.refresh != "" || len(f.seen("/revoke")) != 1 {
			t.Error("not ended at the provider")
		}
		_, err := f.Token(t.Context())
		f.wantError(t, err, true, "not logged in")
		f.wantError(t, f.Logout(t.Context()), true, "not logged in")
	})
	t.Run("an expired token", func(t *testing.T) {
		f := newCamStreamer(t, nil)
		f.login(t)
		f.age(t, 2*time.Hour)
		f.access = "gone" // And its refresh token lives on.
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.refresh != "" {
			t.Error("not ended at the provider")
		}
	})
	t.Run("ended at the site already", func(t *testing.T) {
		f := newCamStreamer(t, nil)
		f.login(t)
		f.access, f.refresh = "", ""
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.login(t)
		f.access, f.refresh = "", ""
		f.age(t, 2*time.Hour)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	for name, fault := range map[string]http.HandlerFunc{
		"500": says(500, "oops"), "503": says(503, ""), "404": says(404, "no such page"), "reset": reset,
		"error in a 200": says(200, `{"error":"System error"}`), "no success": says(200, `{"success":false,"message":"System error"}`),
		"no reason": says(200, `{"success":false}`), "a login page": says(200, "<!DOCTYPE html>"), "redirect": says(307, "", "Location", "http://127.0.0.1:1/"),
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			_, _ = fmt.Fprintf(w, `{"error":"POST %s?%s: %s"}`, r.URL.Path, r.URL.RawQuery, r.URL.Query().Get("access_token"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newCamStreamer(t, nil)
			f.login(t)
			f.then(fault)
			f.wantError(t, f.Logout(t.Context()), false, "log out mystream: CamStreamer Cloud did not end the access, so the grant is kept",
				"relay auth logout --force mystream")
			if got := f.token(t); got.Generation != 1 {
				t.Error("the grant is not as it was")
			}
			if err := f.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Token(t.Context()); err == nil || len(f.seen("/revoke")) != 1 {
				t.Error("Forget does not forget, or asks the provider")
			}
		})
	}
	t.Run("by RFC 7009", func(t *testing.T) {
		p, _ := provider.Lookup("treatstream")
		p.Endpoints.Revoke = "/revoke"
		f := newStandInOf(t, p, says(200, `{"access_token":"canary-a","refresh_token":"canary-r"}`), false, func(c *auth.Config) { c.BaseURL = c.Endpoints.Token })
		if err := f.Exchange(t.Context(), secret.New("canary-c"), redirectURL); err != nil {
			t.Fatal(err)
		}
		f.then(says(200, ""))
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := f.seen("")
		want := url.Values{"client_id": {clientID}, "client_secret": {clientSecret}, "token": {"canary-r"}, "token_type_hint": {"refresh_token"}}
		if got := all[len(all)-1].form; got.Encode() != want.Encode() {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// The browser comes back to redirect_url or redirect_uri, and the code goes with redirect_uri in either case.
func TestCamStreamerLogin(t *testing.T) {
	for _, name := range []string{"redirect_uri", "redirect_url"} {
		t.Run(name, func(t *testing.T) {
			var redirect string
			s := newStandIn(t, "camstreamer", says(200, `{"access_token":"canary-a","expires_in":3600,"refresh_token":"canary-r"}`), func(c *auth.Config) {
				c.RedirectURL, c.RedirectParameter = "http://127.0.0.1:0/back", provider.RedirectParameter(name)
			})
			login := func(back url.Values) error {
				done := make(chan struct{})
				defer func() { <-done }()
				return s.Login(t.Context(), login.Options{Browser: func(target string) error {
					u, err := url.Parse(target)
					if err != nil {
						return err
					}
					redirect = u.Query().Get(name)
					back.Set("state", u.Query().Get("state"))
					go func() {
						defer close(done)
						browse(t, redirect+"?"+back.Encode())
					}()
					return nil
				}})
			}
			if err := login(url.Values{"code": {s.secret("canary-code")}}); err != nil {
				t.Fatal(err)
			}
			if q := s.seen("/token")[0].query; q.Get("redirect_uri") != redirect || q.Has("redirect_url") || q.Get("code") != "canary-code" || q.Has("scope") {
				t.Errorf("%v", q)
			}
			before := s.grant(t)
			s.wantError(t, login(url.Values{"error": {"access_denied"}}), false, "CamStreamer Cloud declined: access_denied", "relay auth login mystream")
			if s.grant(t) != before {
				t.Error("a denied login changed the grant")
			}
		})
	}
}
