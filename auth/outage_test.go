package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
)

// Trouble that may pass never costs the grant, and a valid token is served through it.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		why    string
		state  grant.State
	}{
		{"500", says(500, "oops"), "HTTP 500", grant.Active},
		{"500 that speaks of tokens", says(500, `{"error":"invalid_grant"}`), "HTTP 500", grant.Active},
		{"502", says(502, "<html>bad gateway</html>"), "HTTP 502", grant.RefreshOutcomeUnknown},
		{"503", says(503, ""), "HTTP 503", grant.Active},
		{"429", says(429, `{"error":"slow down"}`), "HTTP 429 (slow down)", grant.Active},
		{"redirect", says(302, "", "Location", "/login"), "HTTP 302", grant.Active},
		{"307", says(307, "", "Location", "http://127.0.0.1:1/steal"), "HTTP 307", grant.Active},
		{"404", says(404, "not here"), "endpoints.refresh", grant.Active},
		{"blocked by a firewall", says(403, "<!DOCTYPE html><p>blocked", "Content-Type", "text/html"), "web page", grant.Active},
		{"wrong client", says(401, `{"error":"invalid_client"}`), "client_secret", grant.Active},
		{"busy in a 400", says(400, `{"error":"temporarily_unavailable"}`), "temporarily_unavailable", grant.Active},
		{"error in a 200", says(200, `{"error":"System error"}`), "System error", grant.Active},
		{"a page in a 200", says(200, "<html>maintenance</html>"), "not a JSON object", grant.RefreshOutcomeUnknown},
		{"empty 200", says(200, ""), "not a JSON object", grant.RefreshOutcomeUnknown},
		{"no token", says(200, `{"token_type":"Bearer","refresh_token":"canary-lost"}`), "no access_token", grant.RefreshOutcomeUnknown},
		{"huge", says(200, `{"access_token":"`+strings.Repeat("x", 10<<20)+`"}`), "larger than 1 MiB", grant.RefreshOutcomeUnknown},
		{"connection reset", reset, "no answer from", grant.RefreshOutcomeUnknown},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"access_token":"canary-half`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "cut off", grant.RefreshOutcomeUnknown},
		{"echo of the secrets", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.WriteHeader(500)
			pad := strings.Repeat("x", 170)
			_, _ = fmt.Fprintf(w, `{"error":"%s %s","message":"%s"}`, pad, r.Form.Get("refresh_token"), r.Form.Encode())
		}, "HTTP 500", grant.Active},
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
			if err != nil || got.Generation != 2 || w.grant(t).State != grant.Active {
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
	if s := w.grant(t); s.State != grant.Active {
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
		oneShot := func(cfg *auth.Config) { cfg.Provider.RefreshConsumesAccess = true }
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
		_, err := a.Refresh(t.Context(), before.Generation)
		w.wantError(t, err, true, "outcome of a refresh unknown", "relay auth login mystream")
		if !errors.Is(err, grant.ErrOutcomeUnknown) {
			t.Error("not ErrOutcomeUnknown")
		}
		w.age(t, 3*day) // Now nothing is left to lose by trying.
		if got, err := a.Token(t.Context()); err != nil || got.Generation != 2 {
			t.Errorf("after the end of the access token: %+v, %v", got, err)
		}
	})
}

// A process killed between the request and the save leaves the mark on disk.
func TestMarkBeforeRefresh(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	w.age(t, 31*day)
	var during grant.Grant
	w.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
		during = w.grant(t)
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		w.fake.answer(rw, r)
	})
	w.token(t)
	if during.State != grant.RefreshOutcomeUnknown || during.Reason == "" {
		t.Errorf("while the refresh is under way the store says %s (%s)", during.State, during.Reason)
	}
	if after := w.grant(t); after.State != grant.Active || after.Reason != "" {
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

func (s *stubbornStore) Save(account string, g grant.Grant) error {
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
