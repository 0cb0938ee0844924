package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/secret"
)

func TestExchangeThenToken(t *testing.T) {
	w := newWorld(t)
	_, err := w.Token(t.Context())
	w.wantError(t, err, true, "not logged in", "relay auth login mystream")
	if !errors.Is(err, auth.ErrNoGrant) {
		t.Errorf("%v is not ErrNoGrant", err)
	}
	w.login(t)
	got := w.token(t)
	g := w.grant(t)
	if got.AccessToken != g.AccessToken || got.Generation != 1 || g.State != auth.Active {
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
		{"without a body", says(400, "")},
		{"401 in words", says(401, "Unauthorized")},
		{"403 in JSON", says(403, `{"message":"no"}`)},
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
				if !errors.Is(err, auth.ErrReauthorize) {
					t.Errorf("%v is not ErrReauthorize", err)
				}
			}
			if _, err := w.SocketToken(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
				t.Errorf("SocketToken: %v", err)
			}
			if _, err := w.Refresh(t.Context(), 0); !errors.Is(err, auth.ErrReauthorize) {
				t.Errorf("Refresh: %v", err)
			}
			if n := w.fake.count("/refresh"); n != 1 {
				t.Errorf("%d refresh requests, want 1", n)
			}
			if n := strings.Count(w.log.String(), "login needed"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, w.log)
			}
			if s, err := w.Status(); err != nil || s.State != auth.ReauthorizeNeeded || s.Reason == "" {
				t.Errorf("status %+v, %v", s, err)
			}
			// A restart still knows, and a login by another process heals both.
			again := w.account(t, w.store, nil)
			if _, err := again.Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
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

// Trouble that may pass never costs the grant, and a valid token is served through it.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		why    string
		state  auth.State
	}{
		{"500", says(500, "oops"), "HTTP 500", auth.Active},
		{"500 that speaks of tokens", says(500, `{"error":"invalid_grant"}`), "HTTP 500", auth.Active},
		{"502", says(502, "<html>bad gateway</html>"), "HTTP 502", auth.RefreshOutcomeUnknown},
		{"503", says(503, ""), "HTTP 503", auth.Active},
		{"429", says(429, `{"error":"slow down"}`), "HTTP 429 (slow down)", auth.Active},
		{"redirect", says(302, "", "Location", "/login"), "HTTP 302", auth.Active},
		{"307", says(307, "", "Location", "http://127.0.0.1:1/steal"), "HTTP 307", auth.Active},
		{"404", says(404, "not here"), "endpoints.refresh", auth.Active},
		{"blocked by a firewall", says(403, "<!DOCTYPE html><p>blocked", "Content-Type", "text/html"), "web page", auth.Active},
		{"wrong client", says(401, `{"error":"invalid_client"}`), "client_secret", auth.Active},
		{"busy in a 400", says(400, `{"error":"temporarily_unavailable"}`), "temporarily_unavailable", auth.Active},
		{"error in a 200", says(200, `{"error":"System error"}`), "System error", auth.Active},
		{"a page in a 200", says(200, "<html>maintenance</html>"), "not a JSON object", auth.RefreshOutcomeUnknown},
		{"empty 200", says(200, ""), "not a JSON object", auth.RefreshOutcomeUnknown},
		{"no token", says(200, `{"token_type":"Bearer","refresh_token":"canary-lost"}`), "no access_token", auth.RefreshOutcomeUnknown},
		{"huge", says(200, `{"access_token":"`+strings.Repeat("x", 10<<20)+`"}`), "larger than 1 MiB", auth.RefreshOutcomeUnknown},
		{"connection reset", reset, "no answer from", auth.RefreshOutcomeUnknown},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"access_token":"canary-half`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "cut off", auth.RefreshOutcomeUnknown},
		{"echo of the secrets", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.WriteHeader(500)
			pad := strings.Repeat("x", 170)
			_, _ = fmt.Fprintf(w, `{"error":"%s %s","message":"%s"}`, pad, r.Form.Get("refresh_token"), r.Form.Encode())
		}, "HTTP 500", auth.Active},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fake.issued = append(w.fake.issued, "canary-lost", "canary-half")
			w.login(t)
			w.age(t, 28*day) // Due, and valid for two more days.
			before := w.grant(t)
			w.fake.fault("/refresh", c.answer)
			if got := w.token(t); got.AccessToken != before.AccessToken {
				t.Error("another token was served")
			}
			if s := w.grant(t); s.State != c.state || s.RefreshToken != before.RefreshToken {
				t.Errorf("state %s (%s), want %s", s.State, s.Reason, c.state)
			}
			_, err := w.Refresh(t.Context(), before.Generation)
			w.wantError(t, err, false, c.why, "next attempt in")
			if n := w.fake.count("/refresh"); n != 1 {
				t.Errorf("%d refresh requests, want 1", n)
			}
			// The next process has no backoff to wait for, and finds the provider well.
			w.fake.findSecrets("the state", w.grant(t).Reason)
			got, err := w.account(t, w.store, nil).Refresh(t.Context(), before.Generation)
			if err != nil || got.Generation != 2 || w.grant(t).State != auth.Active {
				t.Errorf("after the outage: %+v, %v", got, err)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	w.age(t, 31*day)
	w.fake.server.Close()
	_, err := w.Token(t.Context())
	w.wantError(t, err, false, "connect to 127.0.0.1", "refused")
	if s := w.grant(t); s.State != auth.Active {
		t.Errorf("state %s: what never left cannot be in doubt", s.State)
	}
}

func TestLostReply(t *testing.T) {
	t.Run("carried out", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.age(t, 28*day)
		w.fake.fault("/refresh", w.fake.carriedOut)
		w.token(t)
		again := w.account(t, w.store, nil)
		_, err := again.Token(t.Context())
		w.wantError(t, err, true, "login needed", "the answer to an earlier refresh was lost")
		if w.fake.count("/socket") != 1 || w.fake.count("/refresh") != 2 {
			t.Errorf("%d probes and %d refreshes, want 1 and 2", w.fake.count("/socket"), w.fake.count("/refresh"))
		}
	})
	t.Run("not carried out", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.age(t, 31*day)
		w.fake.fault("/refresh", reset)
		_, err := w.Token(t.Context())
		w.wantError(t, err, false, "no answer from")
		again := w.account(t, w.store, nil)
		if got, err := again.Token(t.Context()); err != nil || got.Generation != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		if n := w.fake.count("/socket"); n != 1 {
			t.Errorf("%d probes, want 1", n)
		}
	})
	t.Run("no probe while the provider is away", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.age(t, 31*day)
		w.fake.fault("/refresh", reset)
		_, err := w.Token(t.Context())
		w.wantError(t, err, false)
		w.fake.fault("/socket", says(500, ""))
		_, err = w.account(t, w.store, nil).Token(t.Context())
		w.wantError(t, err, false, "HTTP 500")
		if n := w.fake.count("/refresh"); n != 1 {
			t.Errorf("%d refreshes, want 1: a replay needs a probe first", n)
		}
	})
	t.Run("one-shot token", func(t *testing.T) {
		w := newWorld(t)
		oneShot := func(cfg *auth.Config) { cfg.Provider.OneShot = true }
		w.Account = w.account(t, w.store, oneShot)
		w.login(t)
		w.age(t, 28*day)
		w.fake.fault("/refresh", w.fake.carriedOut)
		w.token(t)
		_, err := w.account(t, w.store, oneShot).Token(t.Context())
		w.wantError(t, err, true, "login needed", "its token is lost")
		if n := w.fake.count("/refresh"); n != 1 {
			t.Errorf("%d refreshes, want 1: a spent token never goes out again", n)
		}
	})
	t.Run("no way to probe", func(t *testing.T) {
		w := newWorld(t)
		blind := func(cfg *auth.Config) { cfg.Endpoints.SocketToken, cfg.Provider.Endpoints.SocketToken = "", "" }
		w.Account = w.account(t, w.store, blind)
		w.login(t)
		w.age(t, 28*day)
		w.fake.fault("/refresh", reset)
		before := w.token(t)
		a := w.account(t, w.store, blind)
		if got, err := a.Token(t.Context()); err != nil || got != before {
			t.Errorf("the valid token is not served: %v", err)
		}
		w.age(t, 3*day)
		_, err := a.Token(t.Context())
		w.wantError(t, err, true, "outcome of a refresh unknown", "relay auth login mystream")
		if !errors.Is(err, auth.ErrOutcomeUnknown) {
			t.Error("not ErrOutcomeUnknown")
		}
	})
}

// A process killed between the request and the save leaves the mark on disk.
func TestMarkBeforeRefresh(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	w.age(t, 31*day)
	var during auth.Grant
	w.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
		during = w.grant(t)
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		w.fake.answer(rw, r)
	})
	w.token(t)
	if during.State != auth.RefreshOutcomeUnknown || during.Reason == "" {
		t.Errorf("while the refresh is under way the store says %s (%s)", during.State, during.Reason)
	}
	if after := w.grant(t); after.State != auth.Active || after.Reason != "" {
		t.Errorf("afterwards %s (%s)", after.State, after.Reason)
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	broken := &stubbornStore{Store: w.store}
	w.Account = w.account(t, broken, nil)
	w.login(t)
	w.age(t, 31*day)
	broken.fail(2) // The mark is saved, then nothing.
	_, err := w.Token(t.Context())
	w.wantError(t, err, false, "save token of mystream", "no space left", "make the disk writable")
	_, err = w.Token(t.Context())
	w.wantError(t, err, false, "no space left")
	if n := w.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	if n := strings.Count(w.log.String(), "cannot be saved"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	broken.fail(0)
	got := w.token(t)
	if g := w.grant(t); got.Generation != 2 || g.AccessToken != got.AccessToken || w.fake.count("/refresh") != 1 {
		t.Errorf("the token that had arrived is lost: got generation %d", got.Generation)
	}

	// When not even the mark can be saved, nothing is sent.
	w.age(t, 31*day)
	broken.fail(1)
	_, err = w.Token(t.Context())
	w.wantError(t, err, false, "no space left")
	if n := w.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// stubbornStore is a real store on a disk that fills up.
type stubbornStore struct {
	auth.Store
	mu   sync.Mutex
	from int // the Save, counted from 1, from which on nothing is saved; 0 for never
}

func (s *stubbornStore) fail(from int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = from
}

func (s *stubbornStore) Save(account string, g auth.Grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == 1 {
		return errors.New("save grant: write tokens: no space left on device")
	}
	if s.from > 1 {
		s.from--
	}
	return s.Store.Save(account, g)
}

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
			other := w.account(t, w.store, nil)
			w.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
				if err := other.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
					t.Error(err)
				}
				answer(rw, r)
			})
			_, _ = w.Token(t.Context())
			g := w.grant(t)
			if got := w.token(t); g.State != auth.Active || got.AccessToken != g.AccessToken || !w.fake.access[g.AccessToken.Reveal()] {
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

func TestSocketToken(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	one, err := w.SocketToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.SocketToken(t.Context())
	if err != nil || one == two || one.Empty() || two.Empty() {
		t.Errorf("two calls gave the same token, or none: %v", err)
	}
	if n := w.fake.count("/refresh"); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
}

func TestSocketTokenRefused(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"401":               nil, // The provider's own.
		"403":               says(403, `{}`),
		"said in a 400":     says(400, `{"error":"invalid_token"}`),
		"said in a 200":     says(200, `{"status":false,"message":"Access token expired"}`),
		"said in a 404":     says(404, `{"message":"Token not found"}`),
		"401 without words": says(401, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.fake.expire()
			if answer != nil {
				w.fake.fault("/socket", answer)
			}
			if got, err := w.SocketToken(t.Context()); err != nil || got.Empty() {
				t.Fatalf("%v", err)
			}
			if w.fake.count("/refresh") != 1 || w.fake.count("/socket") != 2 {
				t.Errorf("%d refreshes, %d requests, want 1 and 2", w.fake.count("/refresh"), w.fake.count("/socket"))
			}
		})
	}
	t.Run("again after the refresh", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.fake.fault("/socket", says(401, ""), says(401, `{"error":"nope"}`))
		for range 3 {
			_, err := w.SocketToken(t.Context())
			w.wantError(t, err, true, "login needed", "even after a refresh", "relay auth login mystream")
		}
		if w.fake.count("/refresh") != 1 || w.fake.count("/socket") != 2 {
			t.Errorf("%d refreshes, %d requests, want 1 and 2", w.fake.count("/refresh"), w.fake.count("/socket"))
		}
	})
	t.Run("and the refresh too", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.fake.revoke()
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, true, "login needed", "refused the refresh token")
	})
	t.Run("and the refresh fails for now", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.fake.expire()
		w.fake.fault("/refresh", says(500, ""))
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, false, "HTTP 500")
	})
}

func TestSocketTokenOutage(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	for _, answer := range []http.HandlerFunc{
		says(500, ""), says(200, "<html>"), says(200, `{"socket_token":null}`), says(200, `{}`), says(403, "<html>blocked"), reset,
		says(404, ""),
	} {
		w.fake.fault("/socket", answer)
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, false, "socket token of mystream")
	}
	w.fake.fault("/socket", says(429, "", "Retry-After", "90"))
	_, err := w.SocketToken(t.Context())
	w.wantError(t, err, false, "HTTP 429", "not before 1m30s")
	if e, _ := errors.AsType[*auth.Error](err); time.Until(e.RetryAt) < 80*time.Second {
		t.Errorf("RetryAt %s", e.RetryAt)
	}
	if n := w.fake.count("/refresh"); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
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
