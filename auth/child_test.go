package auth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/zalando/go-keyring"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/secret"
)

// errand is what a child process is to do. A child is this test binary, run once more.
type errand struct {
	Job      string // token, refresh, login, hold, panic or identity
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

const errandVariable = "RELAY_AUTH_TEST_ERRAND"

type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	err   *journal
}

// send starts a child.
func send(t *testing.T, e errand, env ...string) *child {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), binary, "-test.run=^TestChild$"), lines: make(chan string, 1000), err: &journal{}}
	c.cmd.Env = append(append(os.Environ(), errandVariable+"="+string(text)), env...)
	c.cmd.Stderr = c.err
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-read
		_ = c.cmd.Wait()
	})
	return c
}

// expect reads up to a line that begins with word, and gives the rest of it.
func (c *child) expect(word string) string {
	c.t.Helper()
	for line := range c.lines {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			return rest
		}
	}
	c.t.Fatalf("the child ended without a line %q:\n%s", word, c.err)
	return ""
}

// goOn lets the child proceed from pause.
func (c *child) goOn() { _, _ = io.WriteString(c.in, "\n") }

// rest gives the lines that are left when the child has ended, by itself or not.
func (c *child) rest() []string {
	var all []string
	for line := range c.lines {
		all = append(all, line)
	}
	return all
}

func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
}

// TestChild does nothing but in a child process.
func TestChild(t *testing.T) {
	text := os.Getenv(errandVariable)
	if text == "" {
		return
	}
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	if e.Job == "identity" {
		e.loadIdentity(t)
	}
	store := e.store(t)
	a := e.account(t, store)
	switch e.Job {
	case "token", "refresh":
		pause()
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
		pause()
	case "panic":
		g, err := store.Load("mystream")
		if err != nil {
			t.Fatal(err)
		}
		panicWith(g, g.AccessToken, a, store)
	}
}

// pause tells the parent that the child has come so far, and waits for its word.
func pause() {
	fmt.Println("ready .")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

//go:noinline
func panicWith(g auth.Grant, s secret.String, a *auth.Account, store auth.Store) {
	panic(fmt.Sprintf("%v %+v %#v %v %+v %#v %v", g, g, g, s, a, store, []any{g, s, a, store}))
}

func (e errand) sealer(t *testing.T) auth.Sealer {
	if e.Identity == "" {
		return nil
	}
	id, err := auth.LoadIdentity(t.Context(), auth.IdentityOptions{File: e.Identity})
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewAgeSealer(id)
}

func (e errand) store(t *testing.T) auth.Store {
	d := &dying{Sealer: e.sealer(t), at: e.DieAt, save: e.Save, after: e.After}
	store, err := auth.NewFileStore(e.Dir, d)
	if err != nil {
		t.Fatal(err)
	}
	d.Store = store
	return d
}

func (e errand) account(t *testing.T, store auth.Store) *auth.Account {
	p, _ := auth.Lookup("treatstream")
	p.OneShot = e.OneShot
	a, err := auth.New(auth.Config{
		Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL,
		Endpoints: auth.Endpoints{Token: e.Server + "/token", Refresh: e.Server + "/refresh", SocketToken: e.Server + "/socket"},
	}, store, auth.Options{Transport: &http.Transport{}, Log: zerolog.New(os.Stderr), UserAgent: "relay/test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// loadIdentity says what came of LoadIdentity with a keyring, and ends the process: a keyring that hangs cannot be waited for.
func (e errand) loadIdentity(t *testing.T) {
	switch e.Code {
	case "works":
		keyring.MockInit()
	case "fails":
		keyring.MockInitWithError(errors.New("locked"))
	}
	for range 2 {
		id, err := auth.LoadIdentity(t.Context(), auth.IdentityOptions{Keyring: true, Fallback: e.Identity})
		fmt.Printf("identity %s created:%v %v\n", id, id.Created, err)
	}
	os.Exit(0)
}

// dying is a store and its sealer whose process is killed, as by kill -9, at a step of a save.
type dying struct {
	auth.Store
	auth.Sealer

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

func (d *dying) Save(account string, g auth.Grant) error {
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
