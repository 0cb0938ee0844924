package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/internal/secret"
)

// shared is a world whose store is sealed and used by other processes as well.
type shared struct {
	*world
	identity string // file
}

func newShared(t *testing.T) *shared {
	t.Helper()
	w := newWorld(t)
	s := &shared{world: w, identity: filepath.Join(t.TempDir(), "identity")}
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{Fallback: s.identity})
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = store.Open(w.dir, store.NewAgeSealer(id)); err != nil {
		t.Fatal(err)
	}
	s.Account = w.account(t, s.store, nil)
	s.login(t)
	return s
}

func (s *shared) task(job string) task {
	return task{Job: job, Dir: s.dir, Identity: s.identity, Server: s.fake.server.URL}
}

// N goroutines in each of M processes with an expired token, or with one that was refused: one refresh, and all get the new token.
func TestProperty01OneRefreshAcrossProcesses(t *testing.T) {
	const processes, callers = 3, 20
	for job, age := range map[string]time.Duration{"token": 31 * day, "refresh": 0} {
		t.Run(job, func(t *testing.T) {
			s := newShared(t)
			s.age(t, age)
			s.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
				time.Sleep(300 * time.Millisecond) // Long enough for everybody to come.
				s.fake.mu.Lock()
				defer s.fake.mu.Unlock()
				s.fake.answer(rw, r)
			})
			children := make([]*authtest.Child, processes)
			for i := range children {
				e := s.task(job)
				e.Callers = callers
				children[i] = authtest.Send(t, e)
				children[i].Expect("ready")
			}
			for _, c := range children {
				c.GoOn()
			}
			var here sync.WaitGroup
			for range callers {
				here.Go(func() {
					if got, err := s.Refresh(t.Context(), 1); err != nil || got.Generation != 2 {
						t.Errorf("generation %d, %v", got.Generation, err)
					}
				})
			}
			here.Wait()
			want := s.grant(t)
			for _, c := range children {
				for range callers {
					if got := c.Expect("token"); got != want.AccessToken.Reveal() {
						t.Error("a caller got another token than the stored one")
					}
				}
				c.Expect("done")
				s.fake.findSecrets("the log of a child", c.Err.String())
			}
			if n := s.fake.count("/refresh"); n != 1 || want.Generation != 2 {
				t.Errorf("%d refresh requests and generation %d, want 1 and 2", n, want.Generation)
			}
		})
	}
}

// A process is killed at every step of a refresh. Afterwards the new token is on disk, or the store says that the outcome
// is unknown and the next process finds out; nobody got a token that is not on disk, and no lock is left.
func TestProperty02KilledAtEveryStep(t *testing.T) {
	type killed struct {
		name  string
		at    string
		save  int // 1 is the mark before the request, 2 is what came of it
		after time.Duration
		saved bool // the new token
		heals bool // without a login
	}
	cases := []killed{
		{name: "before the mark", at: "before the save", save: 1, heals: true},
		{name: "after the mark, before the request", at: "after the save", save: 1, heals: true},
		{name: "with the reply, before the save", at: "before the save", save: 2},
		{name: "before sealing", at: "before sealing", save: 2},
		{name: "sealed, before the write", at: "sealed", save: 2},
		{name: "after the save, before the caller", at: "after the save", save: 2, saved: true, heals: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newShared(t)
			s.age(t, 31*day)
			before := s.grant(t)
			lines := s.refreshAndDie(t, c.at, c.save, c.after)
			if len(lines) != 0 {
				t.Errorf("the dying process gave its callers %d answers", len(lines))
			}
			after := s.grant(t)
			switch {
			case c.saved && (after.Generation != 2 || after.State != grant.Active):
				t.Errorf("generation %d %s, want the new token", after.Generation, after.State)
			case !c.saved && after.AccessToken != before.AccessToken:
				t.Error("another token is on disk")
			case c.name == "before the mark" && after != before:
				t.Errorf("%+v, want what was there", after)
			case !c.saved && c.name != "before the mark" && (after.State != grant.RefreshOutcomeUnknown || after.Reason == ""):
				t.Errorf("the state is %s (%s), want that the outcome is unknown", after.State, after.Reason)
			}
			s.checkNext(t, c.heals)
		})
	}
	// And at any moment of the write: the file is the old one or the new one, whole.
	for i := range 12 {
		after := time.Duration(1+i*25) * time.Microsecond
		t.Run(fmt.Sprint(after, " into the write"), func(t *testing.T) {
			s := newShared(t)
			s.age(t, 31*day)
			lines := s.refreshAndDie(t, "sealed", 2, after)
			g := s.grant(t)
			for _, line := range lines {
				if token, ok := strings.CutPrefix(line, "token "); ok && token != g.AccessToken.Reveal() {
					t.Error("a caller got a token that is not on disk")
				}
			}
			if saved := g.Generation == 2; saved && g.State != grant.Active || !saved && g.State != grant.RefreshOutcomeUnknown {
				t.Errorf("generation %d %s", g.Generation, g.State)
			}
			s.checkNext(t, g.Generation == 2)
		})
	}
	t.Run("while the request is under way", func(t *testing.T) {
		s := newShared(t)
		s.age(t, 31*day)
		c := authtest.Send(t, s.task("token"))
		s.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
			c.Kill()
			s.fake.carriedOut(rw, r)
		})
		c.Expect("ready")
		c.GoOn()
		c.Rest()
		if g := s.grant(t); g.State != grant.RefreshOutcomeUnknown || g.Reason == "" {
			t.Errorf("the state is %s (%s)", g.State, g.Reason)
		}
		s.checkNext(t, false)
	})
}

// refreshAndDie gives what the child printed after it began.
func (s *shared) refreshAndDie(t *testing.T, at string, save int, after time.Duration) []string {
	t.Helper()
	e := s.task("token")
	e.DieAt, e.Save, e.After = at, save, after
	c := authtest.Send(t, e)
	c.Expect("ready")
	c.GoOn()
	return slices.DeleteFunc(c.Rest(), func(line string) bool { return !strings.HasPrefix(line, "token ") })
}

// checkNext is the next process on the store a killed one left.
func (s *shared) checkNext(t *testing.T, heals bool) {
	t.Helper()
	got, err := s.account(t, s.store, nil).Token(t.Context())
	if heals {
		if g := s.grant(t); err != nil || got.AccessToken != g.AccessToken || g.State != grant.Active || got.Generation != 2 {
			t.Errorf("the next process: %+v, %v", got, err)
		}
		return
	}
	s.wantError(t, err, true, "login needed", "lost", "run: relay auth login mystream")
	if n := s.fake.count("/socket"); n != 1 {
		t.Errorf("%d probes, want 1", n)
	}
}

// A process dies while its refresh is under way, and another waits for the lock: that one reads again and probes before
// it sends anything, and sends a one-shot token not at all.
func TestProperty03ProbeBeforeReplay(t *testing.T) {
	for _, oneShot := range []bool{false, true} {
		t.Run(fmt.Sprintf("one-shot %v", oneShot), func(t *testing.T) {
			s := newShared(t)
			s.Account = s.account(t, s.store, func(cfg *auth.Config) { cfg.Provider.RefreshConsumesAccess = oneShot })
			s.age(t, 31*day)
			e := s.task("token")
			e.OneShot = oneShot
			c := authtest.Send(t, e)
			var mu sync.Mutex
			var order []string
			note := func(path string) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, path)
			}
			sent := make(chan struct{})
			s.fake.fault("/refresh", func(rw http.ResponseWriter, r *http.Request) {
				note("refresh")
				close(sent)
				time.Sleep(300 * time.Millisecond) // The other one waits for the lock.
				c.Kill()
				s.fake.carriedOut(rw, r)
			}, func(rw http.ResponseWriter, r *http.Request) {
				note("replay")
				s.fake.mu.Lock()
				defer s.fake.mu.Unlock()
				s.fake.answer(rw, r)
			})
			s.fake.fault("/socket", func(rw http.ResponseWriter, r *http.Request) {
				note("probe")
				s.fake.mu.Lock()
				defer s.fake.mu.Unlock()
				s.fake.answer(rw, r)
			})
			c.Expect("ready")
			c.GoOn()
			<-sent
			_, err := s.Token(t.Context())
			s.wantError(t, err, true, "login needed", "relay auth login mystream")
			want := "refresh probe replay"
			if oneShot {
				want = "refresh probe"
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(order, " "); got != want {
				t.Errorf("requests: %s; want %s", got, want)
			}
		})
	}
}

// A login in another process heals an account that runs here.
func TestProperty04LoginInAnotherProcess(t *testing.T) {
	s := newShared(t)
	s.age(t, 31*day)
	s.fake.revoke()
	_, err := s.Token(t.Context())
	s.wantError(t, err, true, "login needed")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the login went unnoticed"))
	defer cancel()
	healed := make(chan error, 1)
	go func() { healed <- s.WaitActive(ctx) }()
	e := s.task("login")
	e.Code = s.fake.code(redirectURL)
	authtest.Send(t, e).Expect("done")
	if got := s.token(t); got.Generation != 2 {
		t.Errorf("generation %d at once after the login", got.Generation)
	}
	if err := <-healed; err != nil {
		t.Error(err)
	}
	if n := s.fake.count("/refresh"); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// A holder that hangs is named, and costs nobody a token that is valid; a dead one costs nothing.
func TestLockOfAnotherProcess(t *testing.T) {
	s := newShared(t)
	s.age(t, 31*day)
	c := authtest.Send(t, s.task("hold"))
	c.Expect("ready")
	briefly := func() (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("no patience"))
	}
	ctx, cancel := briefly()
	defer cancel()
	pid := fmt.Sprintf("mystream.lock, held by process %d since 2", c.PID())
	_, err := s.Token(ctx)
	s.wantError(t, err, false, "refresh mystream: lock ", pid, "no patience")
	ctx, cancel = briefly()
	defer cancel()
	s.wantError(t, s.Exchange(ctx, secret.New("code"), redirectURL), false, "log in mystream: lock ", pid)
	s.age(t, -3*day)
	ctx, cancel = briefly()
	defer cancel()
	if got, err := s.Token(ctx); err != nil || got.Generation != 1 {
		t.Errorf("a valid token: %+v, %v", got, err)
	}
	if n := s.fake.count("/refresh") + s.fake.count("/token"); n != 1 {
		t.Errorf("%d requests, want the login's only", n)
	}
	s.age(t, 3*day)
	c.Kill()
	if got := s.token(t); got.Generation != 2 {
		t.Errorf("generation %d after the holder died", got.Generation)
	}
}

// With all the time in the world a caller learns that the holder hangs, and the next ones at once.
func TestLockThatIsNeverReleased(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		unlock, err := w.store.Lock(t.Context(), "mystream")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(28 * day)
		began := time.Now()
		w.token(t)
		w.token(t)
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("a valid token was served after %s", took)
		}
		time.Sleep(3 * day)
		_, err = w.Token(t.Context())
		w.wantError(t, err, false, "held by process", "not released within 1m35s", "if that process hangs, end it")
		began = time.Now()
		_, err = w.Token(t.Context())
		w.wantError(t, err, false, "held by process", "next attempt in")
		if time.Since(began) != 0 {
			t.Error("waited once more")
		}
		unlock()
		time.Sleep(time.Minute)
		if got := w.token(t); got.Generation != 2 || w.fake.count("/refresh") != 1 {
			t.Errorf("generation %d", got.Generation)
		}
	})
}
