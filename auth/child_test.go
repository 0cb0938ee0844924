package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/internal/secret"
)

// task is the work of a child process. A child is this test binary, run once more.
type task struct {
	Job      string // token, refresh, login, hold or panic
	Dir      string // of the store
	Identity string // file; empty for a store that does not seal
	Server   string // URL of the fake provider
	Callers  int
	Code     string
	OneShot  bool
	DieAt    string // a step of a save, see dying
	Save     int    // of which save, counted from 1
	After    time.Duration
}

// TestChild does nothing but in a child process.
func TestChild(t *testing.T) {
	var e task
	if !authtest.ChildTask(t, &e) {
		return
	}
	store := e.store(t)
	a := e.account(t, store)
	switch e.Job {
	case "token", "refresh":
		authtest.Pause()
		ask := a.Token
		if e.Job == "refresh" {
			ask = func(ctx context.Context) (auth.Token, error) { return a.Refresh(ctx, 1) }
		}
		var all sync.WaitGroup
		for range max(1, e.Callers) {
			all.Go(func() {
				if got, err := ask(t.Context()); err != nil {
					fmt.Printf("error %v\n", err)
				} else {
					fmt.Printf("token %s\n", got.AccessToken.Reveal())
				}
			})
		}
		all.Wait()
		fmt.Println("done .")
	case "login":
		if err := a.Exchange(t.Context(), secret.New(e.Code), redirectURL); err != nil {
			t.Fatal(err)
		}
		fmt.Println("done .")
	case "hold":
		if _, err := store.Lock(t.Context(), "mystream"); err != nil {
			t.Fatal(err)
		}
		authtest.Pause()
	case "panic":
		g, err := store.Load("mystream")
		if err != nil {
			t.Fatal(err)
		}
		panicWith(g, g.AccessToken, a, store)
	}
}

//go:noinline
func panicWith(g grant.Grant, s secret.String, a *auth.Account, store auth.Store) {
	panic(fmt.Sprintf("%v %+v %#v %v %+v %#v %v", g, g, g, s, a, store, []any{g, s, a, store}))
}

func (e task) sealer(t *testing.T) store.Sealer {
	if e.Identity == "" {
		return nil
	}
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: e.Identity})
	if err != nil {
		t.Fatal(err)
	}
	return store.NewAgeSealer(id)
}

func (e task) store(t *testing.T) auth.Store {
	d := &dying{Sealer: e.sealer(t), at: e.DieAt, save: e.Save, after: e.After}
	store, err := store.Open(e.Dir, d)
	if err != nil {
		t.Fatal(err)
	}
	d.Store = store
	return d
}

func (e task) account(t *testing.T, store auth.Store) *auth.Account {
	p, _ := provider.Lookup("treatstream")
	p.RefreshConsumesAccess = e.OneShot
	a, err := auth.New(auth.Config{
		Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL,
		Overrides: auth.Overrides{Endpoints: provider.Endpoints{
			Token: e.Server + "/token", Refresh: e.Server + "/refresh", SocketToken: e.Server + "/socket",
		}},
	}, store, auth.Options{Transport: &http.Transport{}, Log: zerolog.New(os.Stderr), UserAgent: "relay/test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dying is a store and its sealer whose process is killed, as by kill -9, at a step of a save.
type dying struct {
	auth.Store
	store.Sealer

	at    string
	save  int
	after time.Duration // for "written": in the middle of whatever happens then
	saves int
}

func (d *dying) step(name string) {
	if d.at != name || d.saves != d.save {
		return
	}
	if d.after > 0 {
		go func() {
			for began := time.Now(); time.Since(began) < d.after; {
				continue // Timers are too coarse.
			}
			killMyself()
		}()
		return
	}
	killMyself()
}

func killMyself() {
	if me, err := os.FindProcess(os.Getpid()); err == nil {
		_ = me.Kill()
	}
	select {}
}

func (d *dying) Save(account string, g grant.Grant) error {
	d.saves++
	d.step("before the save")
	err := d.Store.Save(account, g)
	d.step("after the save")
	return err
}

func (d *dying) Seal(plain []byte) ([]byte, error) {
	d.step("before sealing")
	sealed, err := d.Sealer.Seal(plain)
	d.step("sealed")
	return sealed, err
}
