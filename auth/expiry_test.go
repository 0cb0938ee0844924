package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// measured makes the account once more, counted in reg.
func (w *world) measured(t *testing.T, reg prometheus.Registerer) {
	t.Helper()
	a, err := auth.New(w.fake.config(), w.store, auth.Options{
		Transport: &http.Transport{DialContext: w.fake.dial}, Log: zerolog.New(w.log), UserAgent: "relay/test", Metrics: auth.NewMetrics(reg),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Account = a
}

// metrics gives what was counted, a line for each.
func metrics(t *testing.T, reg prometheus.Gatherer) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			b.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				b.WriteString(" " + l.GetValue())
			}
			_, _ = fmt.Fprintf(&b, " %v\n", m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	return b.String()
}

// A revoked grant is written off once: on disk, in one log line and one metric, without another request until the login,
// which a running account notices by itself. Another account runs on.
func TestProperty04RevokedGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, other := newWorldAt(t, newPipedFake(t)), newWorldAt(t, newPipedFake(t))
		reg := prometheus.NewRegistry()
		w.measured(t, reg)
		w.login(t)
		other.login(t)
		w.fake.revoke()
		time.Sleep(26*day + 23*time.Hour)
		defer w.running(t)()
		defer other.running(t)()
		time.Sleep(12 * time.Hour)
		for range 20 {
			_, err := w.Token(t.Context())
			w.wantError(t, err, true, "login needed", "relay auth login mystream")
		}
		if s := w.grant(t).State; s != grant.ReauthorizeNeeded {
			t.Errorf("the store says %s", s)
		}
		if n := strings.Count(w.log.String(), "login needed"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, w.log)
		}
		if w.fake.count("/refresh") != 1 || w.fake.count("/token") != 1 || w.fake.count("/socket") != 0 {
			t.Errorf("requests: %v", w.fake.asked)
		}
		want := `relay_auth_reauthorize_needed mystream 1
relay_auth_refreshes_total mystream refused 1
relay_auth_token_expiry_timestamp_seconds mystream 9.492768e+08
relay_auth_token_requests_total mystream ok 1
relay_auth_token_requests_total mystream refused 1
`
		if got := metrics(t, reg); got != want {
			t.Errorf("metrics:\n%swant:\n%s", got, want)
		}
		if got := other.token(t); got.Generation != 2 {
			t.Error("the other account does not run on")
		}

		elsewhere := w.account(t, w.store, nil)
		if err := elsewhere.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !strings.Contains(w.log.String(), "somebody logged in; going on") {
			t.Error("the login went unnoticed")
		}
		if got := metrics(t, reg); !strings.Contains(got, "relay_auth_reauthorize_needed mystream 0\n") {
			t.Errorf("metrics after the login:\n%s", got)
		}
		w.age(t, 27*day)
		time.Sleep(10 * time.Minute)
		if g := w.grant(t); g.Generation != 3 {
			t.Errorf("generation %d four weeks later, want the background to go on", g.Generation)
		}
	})
}

// The clock jumps a day to and fro. Here the grant moves instead, which is the same to whoever compares the two.
func TestProperty07ClockJumps(t *testing.T) {
	for _, c := range []struct {
		life  string
		jumps time.Duration // which a refresh may follow
		most  int           // refreshes in all
	}{
		{"2592000", day, 0}, // The margin of three days covers it.
		{"3600", day, 12},   // At most one refresh for a jump.
		{"2592000", 28 * day, 12},
	} {
		t.Run(fmt.Sprintf("life %s jump %s", c.life, c.jumps), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldAt(t, newPipedFake(t))
				w.fake.tokens = c.life
				w.login(t)
				defer w.running(t)()
				jump := c.jumps
				for i := range 12 {
					before := w.fake.count("/refresh")
					w.age(t, jump)
					for range 6 * 60 {
						time.Sleep(time.Second)
						w.token(t)
					}
					synctest.Wait()
					if n := w.fake.count("/refresh") - before; n > 1 {
						t.Errorf("jump %d by %s: %d refreshes, want at most 1", i, jump, n)
					}
					jump = -jump
				}
				n := w.fake.count("/refresh")
				if n > c.most || c.most > 0 && n == 0 {
					t.Errorf("%d refreshes, want at most %d", n, c.most)
				}
				// What is served can be used by the clock of the provider, which does not jump.
				if g := w.grant(t); time.Until(g.Expiry) > 31*day {
					t.Errorf("the grant expires in %s", time.Until(g.Expiry))
				}
			})
		})
	}
}

// After a month in the cellar a hundred accounts are overdue. The background takes its time; a caller does not wait.
func TestOverdueAccountsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const accounts = 100
		w := newWorldAt(t, newPipedFake(t))
		seconds := map[int64]int{}
		var mu sync.Mutex
		w.fake.down = func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refresh" {
				mu.Lock()
				seconds[time.Now().Unix()]++
				mu.Unlock()
			}
			says(200, `{"access_token":"canary","refresh_token":"canary","expires_in":2592000}`)(rw, r)
		}
		all := make([]*auth.Account, accounts)
		for i := range all {
			all[i] = w.account(t, w.store, func(cfg *auth.Config) { cfg.Account = fmt.Sprintf("account-%d", i) })
			if err := all[i].Exchange(t.Context(), secret.New("code"), redirectURL); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(40 * day)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		for _, a := range all {
			run.Go(func() { a.Run(ctx) })
		}
		began := time.Now()
		if got, err := all[7].Token(t.Context()); err != nil || got.Generation != 2 || time.Since(began) != 0 {
			t.Errorf("a caller got generation %d after %s: %v", got.Generation, time.Since(began), err)
		}
		time.Sleep(6 * time.Minute)
		cancel()
		run.Wait()
		refreshes, most := 0, 0
		for _, n := range seconds {
			refreshes, most = refreshes+n, max(most, n)
		}
		if refreshes != accounts || most > 5 || len(seconds) < accounts*2/3 {
			t.Errorf("%d refreshes in %d different seconds, at most %d in one", refreshes, len(seconds), most)
		}
	})
}

// Accounts that nobody has to log in to have no token at the first start. The background asks for them one after the other.
func TestFirstTokensAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const accounts = 50
		w := newWorldAt(t, newPipedFake(t))
		seconds := map[int64]int{}
		var mu sync.Mutex
		w.fake.down = func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seconds[time.Now().Unix()]++
			mu.Unlock()
			says(200, `{"access_token":"canary","expires_in":86400}`)(rw, r)
		}
		partner, _ := provider.Lookup("client-credentials")
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		for i := range accounts {
			a := w.account(t, w.store, func(cfg *auth.Config) {
				cfg.Account, cfg.Provider, cfg.BaseURL = fmt.Sprintf("account-%d", i), partner, w.fake.server.URL
				cfg.Endpoints, cfg.RedirectURL = provider.Endpoints{}, ""
			})
			run.Go(func() { a.Run(ctx) })
		}
		time.Sleep(2 * time.Minute)
		cancel()
		run.Wait()
		requests, most := 0, 0
		for _, n := range seconds {
			requests, most = requests+n, max(most, n)
		}
		if requests != accounts || most > 6 {
			t.Errorf("%d requests in %d different seconds, at most %d in one", requests, len(seconds), most)
		}
	})
}
