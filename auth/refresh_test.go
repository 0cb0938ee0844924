package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

func TestExchangeThenToken(t *testing.T) {
	w := newWorld(t)
	_, err := w.Token(t.Context())
	w.wantError(t, err, true, "not logged in", "relay auth login mystream")
	if !errors.Is(err, grant.ErrNone) {
		t.Errorf("%v is not ErrNoGrant", err)
	}
	w.login(t)
	got := w.token(t)
	g := w.grant(t)
	if got.AccessToken != g.AccessToken || got.Generation != 1 || g.State != grant.Active {
		t.Errorf("token %+v, stored %+v", got, g)
	}
	if left := time.Until(got.Expiry); left < 29*day || left > 30*day {
		t.Errorf("expires in %s, want 30 days", left)
	}
	if left := time.Until(g.RefreshExpiry); left < 179*day || left > 180*day {
		t.Errorf("the refresh token ends in %s, want 180 days", left)
	}
	if n := w.fake.count("/token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestCodeIsRefused(t *testing.T) {
	w := newWorld(t)
	code := secret.New(w.fake.code(redirectURL))
	if err := w.Exchange(t.Context(), code, redirectURL); err != nil {
		t.Fatal(err)
	}
	before := w.grant(t)
	err := w.Exchange(t.Context(), code, redirectURL)
	w.wantError(t, err, false, "HTTP 400 (invalid_grant)", "relay auth login mystream")
	if w.grant(t) != before {
		t.Error("a refused code changed the stored grant")
	}
}

func TestOneRefreshForManyCallers(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	w.age(t, 31*day)
	old := w.grant(t).AccessToken
	tokens := make([]auth.Token, 100)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			var err error
			if tokens[i], err = w.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refresh requests, want 1", n)
	}
	want := w.grant(t)
	for _, got := range tokens {
		if got.AccessToken != want.AccessToken || got.Generation != 2 || got.AccessToken == old {
			t.Fatalf("a caller got generation %d", got.Generation)
		}
	}
}

func TestOneRefreshForManyRefusals(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	seen := w.token(t)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := w.Refresh(t.Context(), seen.Generation); err != nil || got.Generation != 2 {
				t.Errorf("generation %d, %v", got.Generation, err)
			}
		})
	}
	all.Wait()
	if n := w.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refresh requests, want 1", n)
	}
	if got, err := w.Refresh(t.Context(), 0); err != nil || got.Generation != 3 {
		t.Errorf("Refresh of generation 0 gave %d, %v; want a new token", got.Generation, err)
	}
}

func TestManyCallersOfAFailingRefresh(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	w.age(t, 31*day)
	w.fake.fault("/refresh", says(503, "busy", "Retry-After", "3600"))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_, err := w.Token(t.Context())
			w.wantError(t, err, false, "HTTP 503", "next attempt in")
		})
	}
	all.Wait()
	if n := w.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refresh requests, want 1", n)
	}
	if n := strings.Count(w.log.String(), "cannot be refreshed"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

func TestDeadGrant(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"by the RFC", says(400, `{"error":"invalid_grant","error_description":"expired"}`)},
		{"by RFC 6750", says(401, `{"error":"invalid_token"}`)},
		{"with a 403", says(403, `{"error":"invalid_grant"}`, "Content-Type", "application/json; charset=utf-8")},
		{"as HTML", says(400, `{"error":"invalid_grant"}`, "Content-Type", "text/html; charset=iso-8859-1")},
		{"behind a notice", says(400, "<br />\n<b>Notice</b>:  Undefined index: x in <b>/var/www/x.php</b> on line <b>7</b><br />\n"+`{"error":"invalid_grant"}`)},
		{"as a code of its own", says(400, `{"code":"refresh_token_expired"}`)},
		{"in a message", says(401, `{"message":"The refresh token is invalid."}`)},
		{"bad", says(200, `{"error":"Bad refresh token"}`)},
		{"in a 200", says(200, `{"error":"Invalid refresh token"}`)},
		{"in a 404", says(404, `{"error":"Tokens not found","code":1000}`)},
		{"in a nested object", says(400, `{"error":{"code":1,"message":"token expired"}}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.age(t, 31*day)
			w.fake.fault("/refresh", c.answer)
			for range 5 {
				_, err := w.Token(t.Context())
				w.wantError(t, err, true, "login needed", "TreatStream refused the refresh token", "relay auth login mystream")
				if !errors.Is(err, grant.ErrReauthorize) {
					t.Errorf("%v is not ErrReauthorize", err)
				}
			}
			if _, err := w.SocketToken(t.Context()); !errors.Is(err, grant.ErrReauthorize) {
				t.Errorf("SocketToken: %v", err)
			}
			if _, err := w.Refresh(t.Context(), 0); !errors.Is(err, grant.ErrReauthorize) {
				t.Errorf("Refresh: %v", err)
			}
			if n := w.fake.count("/refresh"); n != 1 {
				t.Errorf("%d refresh requests, want 1", n)
			}
			if n := strings.Count(w.log.String(), "login needed"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, w.log)
			}
			if s, err := w.Status(); err != nil || s.State != grant.ReauthorizeNeeded || s.Reason == "" {
				t.Errorf("status %+v, %v", s, err)
			}
			// A restart still knows, and a login by another process heals both.
			again := w.account(t, w.store, nil)
			if _, err := again.Token(t.Context()); !errors.Is(err, grant.ErrReauthorize) {
				t.Errorf("after a restart: %v", err)
			}
			if err := again.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
				t.Fatal(err)
			}
			if got := w.token(t); got.Generation != 2 {
				t.Errorf("generation %d after the login, want 2", got.Generation)
			}
		})
	}
}

// unlocked is a store in the hands of somebody who respects no lock.
type unlocked struct{ auth.Store }

func (unlocked) Lock(context.Context, string) (func(), error) { return func() {}, nil }

// The lock keeps relays apart. Where it does not, as on some network file systems, what somebody saved meanwhile stands.
func TestLoginElsewhereDuringRefresh(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refused": says(400, `{"error":"invalid_grant"}`),
		"granted": says(200, `{"access_token":"canary-late","refresh_token":"canary-late-too"}`),
		"lost":    reset,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fake.issued = append(w.fake.issued, "canary-late")
			w.login(t)
			w.age(t, 31*day)
			other := w.account(t, unlocked{w.store}, nil)
			w.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
				if err := other.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
					t.Error(err)
				}
				answer(rw, r)
			})
			_, _ = w.Token(t.Context())
			g := w.grant(t)
			if got := w.token(t); g.State != grant.Active || got.AccessToken != g.AccessToken || !w.fake.access[g.AccessToken.Reveal()] {
				t.Errorf("the login was overwritten: %s, generation %d", g.State, g.Generation)
			}
		})
	}
	t.Run("logout", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.age(t, 31*day)
		w.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
			if err := w.store.Delete("mystream"); err != nil {
				t.Error(err)
			}
			w.fake.mu.Lock()
			defer w.fake.mu.Unlock()
			w.fake.answer(rw, r)
		})
		_, err := w.Token(t.Context())
		w.wantError(t, err, true, "not logged in")
	})
}

func TestNoRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.fake.fault("/token", says(200, `{"access_token":"canary-alone","expires_in":3600}`))
	w.fake.issued = append(w.fake.issued, "canary-alone")
	w.login(t)
	w.age(t, 55*time.Minute)
	if got := w.token(t); got.AccessToken.Reveal() != "canary-alone" {
		t.Error("the valid token is not served")
	}
	w.age(t, 10*time.Minute)
	_, err := w.Token(t.Context())
	w.wantError(t, err, true, "login needed", "no refresh token")
	if n := w.fake.count("/refresh"); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
}

func TestRefreshTokenIsKept(t *testing.T) {
	for name, body := range map[string]string{
		"missing":  `{"access_token":"canary-new","expires_in":60}`,
		"null":     `{"access_token":"canary-new","refresh_token":null}`,
		"empty":    `{"access_token":"canary-new","refresh_token":""}`,
		"repeated": `{"access_token":"canary-new","refresh_token":"%s"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.age(t, 31*day)
			before := w.grant(t)
			if name == "repeated" {
				body = fmt.Sprintf(body, before.RefreshToken.Reveal())
			}
			w.fake.fault("/refresh", says(201, body, "Content-Type", "text/plain"))
			w.token(t)
			g := w.grant(t)
			if g.RefreshToken != before.RefreshToken || !g.RefreshExpiry.Equal(before.RefreshExpiry) || g.AccessToken.Reveal() != "canary-new" {
				t.Errorf("grant %+v, want the old refresh token with its old end", g)
			}
		})
	}
}

func TestLogout(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	if err := w.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := w.Logout(t.Context())
	w.wantError(t, err, true, "log out mystream", "not logged in")
	_, err = w.Status()
	w.wantError(t, err, true, "not logged in")
}

func TestGrantOfAnotherProvider(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	a := w.account(t, w.store, func(cfg *auth.Config) { cfg.Provider.Name = "elsewhere" })
	_, err := a.Token(t.Context())
	w.wantError(t, err, true, "treatstream", "elsewhere", "relay auth login")
}
