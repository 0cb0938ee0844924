package auth_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// standIn is an account at a provider whose answers a test gives.
type standIn struct {
	*world
	t   *testing.T
	cfg auth.Config

	mu       sync.Mutex
	next     []http.HandlerFunc // for the next requests, one each
	usual    http.HandlerFunc   // for all others
	requests []seen
}

// seen is what arrived.
type seen struct {
	method, path string
	uri, body    string
	query, form  url.Values
	header       http.Header
}

// newStandIn gives an account of the named provider, all of whose URLs lead to usual.
func newStandIn(t *testing.T, name string, usual http.HandlerFunc, change func(*auth.Config)) *standIn {
	t.Helper()
	p, ok := provider.Lookup(name)
	if !ok {
		t.Fatalf("no provider %s", name)
	}
	return newStandInOf(t, p, usual, false, change)
}

// newStandInOf is newStandIn for any provider. When it is piped it works in a bubble of synctest.
func newStandInOf(t *testing.T, p provider.Provider, usual http.HandlerFunc, piped bool, change func(*auth.Config)) *standIn {
	t.Helper()
	f := blankFake(t)
	s := &standIn{t: t, usual: usual}
	if piped {
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		f.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
		f.server.Start()
		f.dial = l.dial
	} else {
		f.server = httptest.NewServer(s)
	}
	t.Cleanup(f.server.Close)
	store, dir := authtest.NewStore(t)
	s.world = &world{fake: f, store: store, dir: dir, log: &authtest.Log{}}
	t.Cleanup(func() { f.findSecrets("the log", s.log.String()) })
	s.cfg = auth.Config{
		Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL,
	}
	if p.Name == "treatstream" {
		s.cfg.Endpoints = f.config().Endpoints
	} else {
		s.cfg.BaseURL = f.server.URL
	}
	if change != nil {
		change(&s.cfg)
	}
	s.Account = s.again()
	return s
}

// again makes another account over the same store, as another process would.
func (s *standIn) again() *auth.Account {
	s.t.Helper()
	a, err := auth.New(s.cfg, s.store, auth.Options{
		Transport: &http.Transport{DialContext: s.fake.dial}, Log: zerolog.New(s.log).Level(zerolog.TraceLevel), UserAgent: "relay/test",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// then lets the next requests be answered by handlers, one each.
func (s *standIn) then(handlers ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, handlers...)
}

// always gives another answer to all others from now on, and returns the one before.
func (s *standIn) always(h http.HandlerFunc) (before http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.usual = s.usual, h
	return before
}

// secret makes text a secret that must not show anywhere.
func (s *standIn) secret(text string) string {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	s.fake.issued = append(s.fake.issued, text)
	return text
}

// seen gives the requests for path so far; all for an empty one.
func (s *standIn) seen(path string) []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r seen) bool { return path != "" && r.path != path })
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.requests = append(s.requests, seen{r.Method, r.URL.Path, r.RequestURI, string(body), r.URL.Query(), r.PostForm, r.Header})
	answer := s.usual
	if len(s.next) > 0 {
		answer, s.next = s.next[0], s.next[1:]
	}
	s.mu.Unlock()
	if got := r.Header.Get("Accept"); got != "application/json" {
		s.t.Errorf("%s %s: Accept %q", r.Method, r.URL.Path, got)
	}
	answer(w, r)
}

// lost does what was asked and loses the reply.
func (s *standIn) lost(_ http.ResponseWriter, r *http.Request) {
	s.usual(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}
