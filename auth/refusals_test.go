package auth_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// crowd is several accounts of one process at one provider.
type crowd struct {
	*standIn
	accounts []*auth.Account

	mu      sync.Mutex
	blocked map[string]http.HandlerFunc // by account: answers its requests
	times   []time.Time                 // of token requests after the logins
}

// newCrowd logs n accounts in at TreatStream. It works in a bubble of synctest.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	p, _ := provider.Lookup("treatstream")
	c := &crowd{blocked: map[string]http.HandlerFunc{}}
	c.standIn = newStandInOf(t, p, c.answer, true, nil)
	shared := wire.NewTransport()
	shared.Proxy, shared.DialContext = nil, c.fake.dial
	for i := range n {
		cfg := c.cfg
		cfg.Account = fmt.Sprintf("account-%02d", i)
		a, err := auth.New(cfg, c.store, auth.Options{Transport: shared, Log: zerolog.New(c.log), UserAgent: "relay/test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Exchange(t.Context(), secret.New("code-of-"+cfg.Account), redirectURL); err != nil {
			t.Fatal(err)
		}
		c.accounts = append(c.accounts, a)
	}
	time.Sleep(time.Minute)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = nil
	return c
}

// block answers the requests of an account; nil ends that.
func (c *crowd) block(account string, h http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked[account] = h
}

// answer gives every account tokens that hold its name.
func (c *crowd) answer(w http.ResponseWriter, r *http.Request) {
	var account string
	for _, name := range []string{"code", "refresh_token", "access_token"} {
		if _, after, found := strings.Cut(r.PostForm.Get(name), "account-"); found {
			account = "account-" + after[:2]
		}
	}
	c.mu.Lock()
	c.times = append(c.times, time.Now())
	h := c.blocked[account]
	c.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.URL.Path == "/socket":
		_, _ = fmt.Fprintf(w, `{"socket_token":%q}`, rand.Text())
	default:
		_, _ = fmt.Fprintf(w, `{"access_token":"access-of-%s-%s","refresh_token":"refresh-of-%s-%s","expires_in":2592000}`, account, rand.Text(), account, rand.Text())
	}
}

func (c *crowd) state(t *testing.T, i int) grant.State {
	t.Helper()
	s, err := c.accounts[i].Status()
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

// tryFor asks for the token every minute, as callers do, and gives the last error.
func tryFor(t *testing.T, a *auth.Account, d time.Duration) (last error) {
	t.Helper()
	for range int(d / time.Minute) {
		time.Sleep(time.Minute)
		_, last = a.Token(t.Context())
	}
	return last
}

// An account that is turned away for over an hour while others get their tokens at the same endpoint needs a login, whatever the
// words; not before, and not while the others are turned away too.
func TestRefusedWhileOthersAreNot(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"in words": says(403, "error code: 1020"), "page": says(401, "<html>"), "JSON": says(403, `{"message":"Forbidden"}`), "empty": says(400, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, 2)
				time.Sleep(28 * day)
				c.block("account-00", answer)
				c.block("account-01", answer)
				if err := tryFor(t, c.accounts[0], 3*time.Hour); err != nil || c.state(t, 0) != grant.Active {
					t.Fatalf("%s after three hours in which nobody got a token: %v", c.state(t, 0), err)
				}
				c.block("account-01", nil)
				if _, err := c.accounts[1].Refresh(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				err := tryFor(t, c.accounts[0], 30*time.Minute) // The backoff is a quarter of an hour, and half as much more at most.
				c.wantError(t, err, true, "login needed: TreatStream refuses the login since ", "renews those of other accounts: HTTP ", "relay auth login account-00")
				if c.state(t, 0) != grant.ReauthorizeNeeded || c.state(t, 1) != grant.Active {
					t.Errorf("%s and %s", c.state(t, 0), c.state(t, 1))
				}
			})
		})
	}
	t.Run("not within the hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 2)
			time.Sleep(28 * day)
			c.block("account-00", says(403, "error code: 1020"))
			if _, err := c.accounts[0].Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := c.accounts[1].Refresh(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if err := tryFor(t, c.accounts[0], 55*time.Minute); err != nil || c.state(t, 0) != grant.Active {
				t.Errorf("%s after 55 minutes: %v", c.state(t, 0), err)
			}
			c.block("account-00", nil)
			if err := tryFor(t, c.accounts[0], 30*time.Minute); err != nil || c.state(t, 0) != grant.Active {
				t.Errorf("%s after it passed: %v", c.state(t, 0), err)
			}
		})
	})
	t.Run("interrupted by an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 2)
			time.Sleep(28 * day)
			for range 6 {
				c.block("account-00", says(403, "error code: 1020"))
				if err := tryFor(t, c.accounts[0], 40*time.Minute); err != nil {
					t.Fatal(err)
				}
				if _, err := c.accounts[1].Refresh(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				c.block("account-00", says(503, ""))
				if err := tryFor(t, c.accounts[0], 25*time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			if c.state(t, 0) != grant.Active {
				t.Errorf("%s", c.state(t, 0))
			}
		})
	})
}

// A single account has nobody to compare with. Then it takes errors of the API itself, for an hour, and an access token that is over.
func TestRefusedAlone(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		dead   bool
	}{
		"an error of the API":    {says(401, `{"error":"nope"}`), true},
		"one in a 200":           {says(200, `{"error":"nope"}`), true},
		"a gateway's words":      {says(401, `{"message":"Unauthorized"}`), false},
		"a gateway's 403":        {says(403, `{"error":"access_denied"}`), false},
		"an outage of the API":   {says(400, `{"error":"The token database is under maintenance"}`), false},
		"plain words":            {says(403, "error code: 1020"), false},
		"a page":                 {says(401, "<html>"), false},
		"nothing":                {says(401, ""), false},
		"a server that is down":  {says(500, `{"error":"invalid_grant"}`), false},
		"Cloudflare's 522":       {says(522, "error code: 522"), false},
		"another address":        {says(404, `{"error":"no such route"}`), false},
		"a proxy without a name": {says(407, `{"error":"nope"}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newCrowd(t, 1)
				a := w.accounts[0]
				time.Sleep(28 * day)
				w.block("account-00", c.answer)
				if err := tryFor(t, a, 5*time.Hour); err != nil || w.state(t, 0) != grant.Active {
					t.Fatalf("%s while the token is valid: %v", w.state(t, 0), err)
				}
				if n := strings.Count(w.log.String(), "cannot be refreshed"); n != 1 {
					t.Errorf("said %d times, want once", n)
				}
				if n := strings.Count(w.log.String(), "a login is needed before it expires"); c.dead != (n == 1) || n > 1 {
					t.Errorf("said %d times that the end may be near: %v", n, c.dead)
				}
				time.Sleep(2 * day)
				err := tryFor(t, a, 5*time.Hour)
				want := grant.Active
				if c.dead {
					want = grant.ReauthorizeNeeded
					w.wantError(t, err, true, "login needed", "the access token has expired", "nope")
				} else {
					w.wantError(t, err, false, "next attempt in")
				}
				if w.state(t, 0) != want {
					t.Errorf("%s, want %s", w.state(t, 0), want)
				}
			})
		})
	}
}

// Forty accounts that start together, or lost their connections together, send at most ten token requests a second.
func TestTokenRequestsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 40)
		all := func(ask func(a *auth.Account) error) {
			t.Helper()
			var asking sync.WaitGroup
			for _, a := range c.accounts {
				asking.Go(func() {
					if err := ask(a); err != nil {
						t.Error(err)
					}
				})
			}
			asking.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.times) != 40 {
				t.Errorf("%d requests, want 40", len(c.times))
			}
			for i, first := range c.times {
				inSecond := 0
				for _, at := range c.times[i:] {
					if at.Sub(first) < time.Second {
						inSecond++
					}
				}
				if inSecond > 10 {
					t.Fatalf("%d requests in one second", inSecond)
				}
			}
			if took := c.times[39].Sub(c.times[0]); took > 10*time.Second {
				t.Errorf("spread over %s", took)
			}
			c.times = nil
		}
		all(func(a *auth.Account) error { _, err := a.SocketToken(t.Context()); return err })
		time.Sleep(time.Second)
		all(func(a *auth.Account) error { _, err := a.Refresh(t.Context(), 0); return err })
		time.Sleep(time.Second)
		// Half and half.
		var i int
		var mu sync.Mutex
		all(func(a *auth.Account) error {
			mu.Lock()
			i++
			odd := i%2 == 1
			mu.Unlock()
			if odd {
				_, err := a.Refresh(t.Context(), 0)
				return err
			}
			_, err := a.SocketToken(t.Context())
			return err
		})
	})
}

// Retry-After holds for every account of the process and every kind of caller, at the endpoint that sent it.
func TestRetryAfterHoldsForAll(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		ask    func(t *testing.T, a *auth.Account) error
		path   string
	}{
		"socket token, 429": {says(429, "", "Retry-After", "90"), func(t *testing.T, a *auth.Account) error { _, err := a.SocketToken(t.Context()); return err }, "/socket"},
		"socket token, 503": {says(503, "", "Retry-After", "90"), func(t *testing.T, a *auth.Account) error { _, err := a.SocketToken(t.Context()); return err }, "/socket"},
		"doctor":            {says(429, "", "Retry-After", "90"), func(t *testing.T, a *auth.Account) error { _, err := a.TrySocketToken(t.Context()); return err }, "/socket"},
		"refresh, 429":      {says(429, "", "Retry-After", "90"), func(t *testing.T, a *auth.Account) error { _, err := a.Refresh(t.Context(), 0); return err }, "/refresh"},
		"refresh, 503":      {says(503, `{"error":"x"}`, "Retry-After", "90"), func(t *testing.T, a *auth.Account) error { _, err := a.Refresh(t.Context(), 0); return err }, "/refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newCrowd(t, 3)
				w.block("account-00", c.answer)
				before := len(w.seen(c.path))
				w.wantError(t, c.ask(t, w.accounts[0]), false, "HTTP ")
				for range 40 {
					for _, a := range w.accounts {
						w.wantError(t, c.ask(t, a), false, "HTTP ")
						if _, err := a.Token(t.Context()); err != nil {
							t.Errorf("a valid token is not served: %v", err)
						}
					}
					time.Sleep(2 * time.Second)
				}
				if n := len(w.seen(c.path)) - before; n != 1 {
					t.Errorf("%d requests within 80 seconds, want 1", n)
				}
				w.block("account-00", nil)
				time.Sleep(11 * time.Second)
				for _, a := range w.accounts[1:] {
					// The backoff of an account goes on for a moment.
					for range 40 {
						if c.ask(t, a) == nil {
							break
						}
						time.Sleep(30 * time.Second)
					}
					if err := c.ask(t, a); err != nil {
						t.Errorf("after it was over: %v", err)
					}
				}
			})
		})
	}
}
