package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// bubble runs f with a fake clock and an account that is logged in.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, newPipedFake(t))
		w.login(t)
		f(t, w)
	})
}

// running runs the account in the background until the returned function is called.
func (w *world) running(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	return func() {
		cancel()
		run.Wait()
	}
}

func TestMargins(t *testing.T) {
	for _, c := range []struct {
		expiresIn string
		due       time.Duration // after the login
	}{
		{"2592000", 27 * day},
		{`"2592000"`, 27 * day},
		{"2592000.5", 27 * day},
		{"3600", 45 * time.Minute},
		{"10", 7500 * time.Millisecond},
		{"", 15*day - 3*day},
		{"null", 15*day - 3*day},
		{`""`, 15*day - 3*day},
		{"-1", 15*day - 3*day},
		{"2592000000", 15*day - 3*day},
	} {
		t.Run(c.expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldAt(t, newPipedFake(t))
				w.fake.tokens = c.expiresIn
				w.login(t)
				time.Sleep(c.due - time.Second)
				if got := w.token(t); got.Generation != 1 {
					t.Error("refreshed a second before the margin")
				}
				time.Sleep(2 * time.Second)
				if got := w.token(t); got.Generation != 2 {
					t.Error("not refreshed within the margin")
				}
				if got := w.token(t); got.Generation != 2 {
					t.Error("refreshed twice")
				}
			})
		})
	}
}

func TestRunKeepsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, newPipedFake(t))
		w.fake.tokens = "14400" // Four hours, so the margin is one.
		w.login(t)
		stop := w.running(t)
		defer stop()
		for range 20 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if left := time.Until(w.grant(t).Expiry); left < time.Hour-time.Minute {
				t.Fatalf("%s left: later than the margin", left)
			}
		}
		// A life is four hours less the margin and less at most a quarter of it.
		if n := w.fake.count("/refresh"); n < 6 || n > 7 {
			t.Errorf("%d refreshes in 20 hours, want one every 2.75 to 3", n)
		}
		if s, err := w.Status(); err != nil || s.State != grant.Active || time.Until(s.RefreshExpiry) < 179*day {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

func TestAccountsDoNotRefreshTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, newPipedFake(t))
		seconds := map[int64]int{}
		var mu sync.Mutex
		w.fake.down = func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refresh" {
				mu.Lock()
				seconds[time.Now().Unix()]++
				mu.Unlock()
			}
			says(200, `{"access_token":"canary","refresh_token":"canary","expires_in":86400}`)(rw, r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		for i := range 30 {
			a := w.account(t, w.store, func(cfg *auth.Config) { cfg.Account = fmt.Sprintf("account-%d", i) })
			if err := a.Exchange(ctx, secret.New("code"), redirectURL); err != nil {
				t.Fatal(err)
			}
			run.Go(func() {
				time.Sleep(16*time.Hour + 29*time.Minute)
				a.Run(ctx)
			})
		}
		time.Sleep(18*time.Hour + time.Minute)
		cancel()
		run.Wait()
		if len(seconds) < 28 {
			t.Errorf("30 accounts refreshed in only %d different seconds", len(seconds))
		}
	})
}

func TestRunThroughAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		time.Sleep(27 * day)
		w.fake.setDown(says(500, "oops"))
		stop := w.running(t)
		defer stop()
		for range 24 {
			time.Sleep(time.Hour)
			if got := w.token(t); got.Generation != 1 {
				t.Fatal("a token out of nowhere")
			}
		}
		if n := w.fake.count("/refresh"); n < 60 || n > 250 {
			t.Errorf("%d requests in a day, want a backoff of about a quarter of an hour", n)
		}
		if n := strings.Count(w.log.String(), "cannot be refreshed"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		w.fake.setDown(nil)
		time.Sleep(25 * time.Minute)
		if s, err := w.Status(); err != nil || s.Generation != 2 || s.State != grant.Active {
			t.Errorf("after the outage: %+v, %v", s, err)
		}
		if !strings.Contains(w.log.String(), `"after_failures":true`) {
			t.Error("the recovery is not logged")
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		time.Sleep(28 * day)
		w.fake.fault("/refresh", says(429, "", "Retry-After", "7200"))
		stop := w.running(t)
		defer stop()
		for range 119 {
			time.Sleep(time.Minute)
			w.token(t)
		}
		if n := w.fake.count("/refresh"); n != 1 {
			t.Errorf("%d requests within two hours, want 1", n)
		}
		time.Sleep(3 * time.Minute)
		if n := w.fake.count("/refresh"); n != 2 {
			t.Errorf("%d requests after two hours, want 2", n)
		}
	})
}

func TestRunWarnsOfTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		repeat := fmt.Sprintf(`{"access_token":"canary-again","expires_in":2592000,"refresh_token":%q}`, w.grant(t).RefreshToken.Reveal())
		w.fake.setDown(says(200, repeat))
		time.Sleep(165*day + 23*time.Hour)
		stop := w.running(t)
		defer stop()
		warnings := func() int { return strings.Count(w.log.String(), "the grant ends soon") }
		time.Sleep(time.Hour - time.Minute)
		if n := warnings(); n != 0 {
			t.Errorf("%d warnings more than 14 days ahead, want 0", n)
		}
		time.Sleep(2 * time.Minute)
		if n := warnings(); n != 1 {
			t.Errorf("%d warnings 14 days ahead, want 1", n)
		}
		time.Sleep(3 * day)
		if n := warnings(); n != 4 {
			t.Errorf("%d warnings three days later, want 4", n)
		}
	})
}

func TestRunNoticesALogin(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.fake.revoke()
		time.Sleep(28 * day)
		stop := w.running(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		w.fake.setDown(func(http.ResponseWriter, *http.Request) { t.Error("a request for a dead grant") })
		time.Sleep(day)
		if n := strings.Count(w.log.String(), "login needed"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, w.log)
		}
		w.fake.setDown(nil)

		healed := make(chan error, 1)
		go func() { healed <- w.WaitActive(t.Context()) }()
		time.Sleep(time.Hour)
		other := w.account(t, w.store, nil)
		if err := other.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
			t.Fatal(err)
		}
		if err := <-healed; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if !strings.Contains(w.log.String(), "somebody logged in; going on") {
			t.Error("the login of another process went unnoticed")
		}
		if _, err := w.SocketToken(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRunWithoutAGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, newPipedFake(t))
		stop := w.running(t)
		time.Sleep(day)
		stop()
		if n := strings.Count(w.log.String(), "\n"); n != 1 {
			t.Errorf("%d log lines, want 1:\n%s", n, w.log)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
		defer cancel()
		w.wantError(t, w.WaitActive(ctx), false, "enough")
	})
}

func TestNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		time.Sleep(31 * day)
		w.fake.fault("/refresh", func(http.ResponseWriter, *http.Request) { time.Sleep(40 * time.Second) })
		began := time.Now()
		_, err := w.Token(t.Context())
		w.wantError(t, err, false, "no answer from 127.0.0.1:1: no whole answer within 30s")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("gave up after %s, want 30s", took)
		}
		if s := w.grant(t).State; s != grant.RefreshOutcomeUnknown {
			t.Errorf("state %s", s)
		}
		time.Sleep(time.Minute)
	})
}

// Giving up on a refresh that was sent must not cost the token that it brings.
func TestCallerGivesUp(t *testing.T) {
	slowly := func(w *world, d time.Duration) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(d)
			w.fake.mu.Lock()
			defer w.fake.mu.Unlock()
			w.fake.answer(rw, r)
		}
	}
	t.Run("and the answer comes soon", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			time.Sleep(31 * day)
			w.fake.fault("/refresh", slowly(w, 5*time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got, err := w.Token(ctx); err != nil || got.Generation != 2 {
				t.Errorf("generation %d, %v", got.Generation, err)
			}
		})
	})
	t.Run("and the answer comes late", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			time.Sleep(31 * day)
			w.fake.fault("/refresh", slowly(w, 20*time.Second))
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("relay is stopping"))
			defer cancel()
			began := time.Now()
			_, err := w.Token(ctx)
			w.wantError(t, err, false, "relay is stopping")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v is not context.Canceled", err)
			}
			if took := time.Since(began); took != 6*time.Second {
				t.Errorf("took %s, want the second and five more", took)
			}
			if s := w.grant(t).State; s != grant.RefreshOutcomeUnknown {
				t.Errorf("state %s", s)
			}
			time.Sleep(time.Minute)
		})
	})
	t.Run("while another waits for the answer", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			time.Sleep(31 * day)
			w.fake.fault("/refresh", slowly(w, 10*time.Second))
			first := make(chan error, 1)
			go func() {
				_, err := w.Token(t.Context())
				first <- err
			}()
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("no patience"))
			defer cancel()
			began := time.Now()
			_, err := w.Token(ctx)
			w.wantError(t, err, false, "no patience", "another request")
			if took := time.Since(began); took != time.Second {
				t.Errorf("took %s, want a second", took)
			}
			if err := <-first; err != nil {
				t.Error(err)
			}
		})
	})
}

// The backoff is measured by the monotonic clock, so that it runs out whatever the wall clock does; here it runs out at all.
func TestBackoffEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		time.Sleep(31 * day)
		w.fake.fault("/refresh", says(500, ""), says(500, ""), says(500, ""))
		failures := 0
		for {
			_, err := w.Token(t.Context())
			if err == nil {
				break
			}
			failures++
			e, _ := errors.AsType[*auth.Error](err)
			if wait := time.Until(e.RetryAt); wait <= 0 || wait > 15*time.Second {
				t.Fatalf("RetryAt in %s", wait)
			}
			time.Sleep(time.Until(e.RetryAt))
		}
		if failures != 3 || w.fake.count("/refresh") != 4 {
			t.Errorf("%d failures and %d requests, want 3 and 4", failures, w.fake.count("/refresh"))
		}
	})
}
