package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// world is an account with everything around it.
type world struct {
	*auth.Account
	fake  *fakeTreatStream
	store *store.Files
	dir   string
	log   *authtest.Log
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, newFake(t))
}

func newWorldAt(t *testing.T, f *fakeTreatStream) *world {
	t.Helper()
	store, dir := authtest.NewStore(t)
	w := &world{fake: f, store: store, dir: dir, log: &authtest.Log{}}
	w.Account = w.account(t, store, nil)
	t.Cleanup(func() { f.findSecrets("the log", w.log.String()) })
	return w
}

// account makes another account over the same provider, as another process would.
func (w *world) account(t *testing.T, store auth.Store, change func(*auth.Config)) *auth.Account {
	t.Helper()
	cfg := w.fake.config()
	if change != nil {
		change(&cfg)
	}
	transport := &http.Transport{DialContext: w.fake.dial}
	a, err := auth.New(cfg, store, auth.Options{
		Transport: transport, Log: zerolog.New(w.log).Level(zerolog.TraceLevel), UserAgent: "relay/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *fakeTreatStream) config() auth.Config {
	p, _ := provider.Lookup("treatstream")
	return auth.Config{
		Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL,
		Overrides: auth.Overrides{Endpoints: provider.Endpoints{
			Authorize: f.server.URL + "/authorize", Token: f.server.URL + "/token", Refresh: f.server.URL + "/refresh",
			SocketToken: f.server.URL + "/socket",
		}},
	}
}

// findSecrets reports every secret that shows in text.
func (f *fakeTreatStream) findSecrets(where, text string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.issued {
		if before, _, found := strings.Cut(text, s); found {
			f.t.Errorf("%s shows the secret %s after ...%s", where, s, before[max(0, len(before)-200):])
		}
	}
}

// login gives the account a grant by the code alone.
func (w *world) login(t *testing.T) {
	t.Helper()
	if err := w.Exchange(t.Context(), secret.New(w.fake.code(redirectURL)), redirectURL); err != nil {
		t.Fatal(err)
	}
}

func (w *world) token(t *testing.T) auth.Token {
	t.Helper()
	got, err := w.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *world) grant(t *testing.T) grant.Grant {
	t.Helper()
	g, err := w.store.Load("mystream")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// age moves the stored grant into the past.
func (w *world) age(t *testing.T, by time.Duration) {
	t.Helper()
	g := w.grant(t)
	g.ObtainedAt, g.Expiry = g.ObtainedAt.Add(-by), g.Expiry.Add(-by)
	if !g.RefreshExpiry.IsZero() {
		g.RefreshExpiry = g.RefreshExpiry.Add(-by)
	}
	if err := w.store.Save("mystream", g); err != nil {
		t.Fatal(err)
	}
}

// wantError checks the kind of err and that it is one line without a secret.
func (w *world) wantError(t *testing.T, err error, permanent bool, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	text := err.Error()
	w.fake.findSecrets("the error", fmt.Sprintf("%v %+v %#v", err, err, err))
	if strings.Contains(text, "\n") {
		t.Errorf("the error has several lines: %q", text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("error %q, want it to contain %q", text, part)
		}
	}
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Permanent() != permanent {
		t.Errorf("error %q: permanent %v, want %v (an auth.Error: %v)", text, ok && e.Permanent(), permanent, ok)
	}
}

const day = authtest.Day
