package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/web/session"
)

func TestMain(m *testing.M) {
	// The server gives a client that sent too much half a second to read the answer, and Close does not wait for that.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const (
	ownerPassword     = "correct horse battery"
	moderatorPassword = "staple for moderators"
	keyOfMain         = "rok_bWFpbi1rZXktbWFpbi1rZXktbWFpbi1rZXktbWFpbi0"
	keyOfAlice        = "rok_YWxpY2Uta2V5LWFsaWNlLWtleS1hbGljZS1rZXkt"
)

// operation is a request of the API, and the least role that it needs.
type operation struct {
	pattern string
	least   session.Role
}

func operations() []operation {
	const key, moderator, owner = session.Key, session.Moderator, session.Owner
	return []operation{
		{"GET /api/v1/status", moderator},
		{"GET /api/v1/journal", moderator},
		{"GET /api/v1/journal/state", owner},
		{"GET /api/v1/history", moderator},
		{"GET /api/v1/events", key},
		{"GET /api/v1/sinks", moderator},
		{"POST /api/v1/sinks/{name}/enable", owner},
		{"POST /api/v1/sinks/{name}/disable", owner},
		{"GET /api/v1/deadletters", moderator},
		{"GET /api/v1/deadletters/{number}", moderator},
		{"POST /api/v1/deadletters/redrive", owner},
		{"POST /api/v1/deadletters/purge", owner},
		{"GET /api/v1/traces/{id}", moderator},
		{"POST /api/v1/replay", owner},
		{"POST /api/v1/tests", owner},
		{"POST /api/v1/accounts/{account}/reconcile", owner},
		{"GET /api/v1/config", owner},
		{"PUT /api/v1/config", session.None}, // not classified, so the owner's
		{"GET /api/v1/overlays", moderator},
		{"GET /api/v1/overlays/{name}", moderator},
		{"DELETE /api/v1/overlays/{name}/keys/{id}", owner},
		{"POST /api/v1/overlays/{name}/skip", moderator},
		{"GET /api/v1/overlays/{name}/stage", key},
		{"POST /api/v1/overlays/{name}/shown", key},
		{"GET /api/v1/overlays/{name}/files/{file}", key},
	}
}

// access makes the function of the configuration from the operations.
func access(all []operation) func(method, path string) session.Role {
	mux, least := http.NewServeMux(), make(map[string]session.Role)
	for _, o := range all {
		mux.Handle(o.pattern, http.NotFoundHandler())
		least[o.pattern] = o.least
	}
	return func(method, path string) session.Role {
		r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost", nil)
		if err != nil {
			return session.None
		}
		r.URL.Path = path
		_, pattern := mux.Handler(r)
		return least[pattern]
	}
}

// keys are the keys of overlays. One can be revoked.
type keys struct {
	mu  sync.Mutex
	all map[string]Overlay
}

func someKeys() *keys {
	return &keys{all: map[string]Overlay{keyOfMain: {Name: "main"}, keyOfAlice: {Name: "second", Account: "alice"}}}
}

func (k *keys) Check(_ context.Context, key string) (Overlay, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o, ok := k.all[key]
	return o, ok
}

func (k *keys) revoke(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, key)
}

// seen is how a request arrived at the API.
type seen struct {
	Pattern, Method, Path, Query, Body, Authorization, Cookie string
	LastEventID                                               string
}

// echo is an API that answers each operation with what it got.
func echo(all []operation) http.Handler {
	mux := http.NewServeMux()
	for _, o := range all {
		mux.HandleFunc(o.pattern, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(seen{
				r.Pattern, r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Get("Authorization"), r.Header.Get("Cookie"),
				r.Header.Get("Last-Event-ID"),
			})
		})
	}
	return mux
}

func pages() fs.FS {
	script := strings.Repeat("export const treat = 'pizza';\n", 100)
	return fstest.MapFS{
		"dashboard/index.html": {Data: []byte("<!doctype html><title>dashboard</title>")},
		"dashboard/app.js":     {Data: []byte(script)},
		"overlay/index.html":   {Data: []byte("<!doctype html><title>overlay</title>")},
		"overlay/chime.wav":    {Data: bytes.Repeat([]byte("RIFF"), 1000)},
		"vendor/LICENSE":       {Data: []byte("MIT")},
		"overlay/sound.py":     {Data: []byte("print(1)")},
	}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// site is a server with the pages.
type site struct {
	t        testing.TB
	url      string
	sessions *session.Sessions
	keys     *keys
	log      *logBuffer
	client   *http.Client
}

// config returns a configuration in which only the address is missing.
func config(t testing.TB) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := session.Config{PasswordFile: filepath.Join(dir, "owner"), ModeratorPasswordFile: filepath.Join(dir, "moderator")}
	for path, text := range map[string]string{cfg.PasswordFile: ownerPassword, cfg.ModeratorPasswordFile: moderatorPassword} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sessions, err := session.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	health := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	return Config{
		API: echo(operations()), Access: access(operations()), Keys: someKeys(), Sessions: sessions, Health: health, Assets: pages(), Listen: "127.0.0.1:8350",
	}
}

// serve starts a server until the test ends, with the short timeouts that a stream must survive.
func serve(t testing.TB, cfg Config) *site {
	t.Helper()
	return serveTLS(t, cfg, nil)
}

// serveTLS starts a server with a certificate, or without TLS.
func serveTLS(t testing.TB, cfg Config, c *Certificate) *site {
	t.Helper()
	log := &logBuffer{}
	cfg.Log = zerolog.New(log).Level(zerolog.TraceLevel)
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second}
	var served sync.WaitGroup
	scheme := "http://"
	if c == nil {
		served.Go(func() { _ = server.Serve(l) })
	} else {
		scheme, server.TLSConfig = "https://", c.Config()
		served.Go(func() { _ = server.ServeTLS(l, "", "") })
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 10, DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		served.Wait()
	})
	known, _ := cfg.Keys.(*keys)
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{t, scheme + l.Addr().String(), cfg.Sessions, known, log, &http.Client{Transport: transport, CheckRedirect: refuse}}
}

// who sends a request.
type who func(*http.Request)

func nobody(*http.Request) {}

func withKey(key string) who {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

func withCookie(token string) who {
	return func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: session.CookieName(cmp.Or(r.Host, r.URL.Host)), Value: token})
	}
}

// header sets a header of a request; Host is one.
func header(name, value string) who {
	return func(r *http.Request) {
		if r.Header.Set(name, value); name == "Host" {
			cookies := r.Cookies()
			r.Host = value
			r.Header.Del("Cookie")
			for _, c := range cookies { // the browser has it under the name for this host
				r.AddCookie(&http.Cookie{Name: session.CookieName(value), Value: c.Value})
			}
		}
	}
}

// as logs in with a link.
func (s *site) as(role session.Role) who {
	s.t.Helper()
	token, _, err := s.sessions.UseLink(netip.MustParseAddr("2001:db8::1"), s.sessions.NewLink(role).Reveal())
	if err != nil {
		s.t.Fatal(err)
	}
	return withCookie(token.Reveal())
}

// reply is an answer that was read.
type reply struct {
	*http.Response
	body string
}

// do sends a request, and reads the answer.
func (s *site) do(method, path, body string, senders ...who) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, set := range senders {
		set(r)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res, string(text)}
}

// problem decodes the problem that is the answer.
func (r reply) problem(t testing.TB) problem.Problem {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Status != r.StatusCode || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, type %q: %q is no problem of that status (%v)", r.StatusCode, r.Header.Get("Content-Type"), r.body, err)
	}
	return p
}

func (r reply) seen(t testing.TB) (got seen) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s (%v)", r.StatusCode, r.body, err)
	}
	return got
}

// sample is a request for an operation of the overlay.
func (o operation) sample(overlay string) (method, path string) {
	method, path, _ = strings.Cut(o.pattern, " ")
	name := overlay
	if !strings.Contains(path, "/overlays/") {
		name = "nats"
	}
	path = strings.NewReplacer("{name}", name, "{number}", "7", "{id}", "abc", "{account}", "alice", "{file}", "pizza.png").Replace(path)
	return method, path
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"use http.listen 8350":                           func(c *Config) { c.Listen = "8350" },
		`"a b" is no host`:                               func(c *Config) { c.Listen = "a b:8350" },
		"use http.public_url: its scheme":                func(c *Config) { c.PublicURL = "ftp://relay.example" },
		"use http.public_url: it has more":               func(c *Config) { c.PublicURL = "https://relay.example/relay" },
		"use http.public_url: it has more than a scheme": func(c *Config) { c.PublicURL = "https://u:topsecret@relay.example" },
		"use http.public_url: it is no URL":              func(c *Config) { c.PublicURL = "https://relay.example:topsecret" },
		`use http.public_url: "" is no host`:             func(c *Config) { c.PublicURL = "https:///" },
		"Access":                                         func(c *Config) { c.Access = nil },
	} {
		cfg := config(t)
		change(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestEmbeddedPages(t *testing.T) {
	cfg := config(t)
	cfg.Assets = Assets()
	s := serve(t, cfg)
	if got := s.do(http.MethodGet, "/", ""); got.StatusCode != http.StatusOK || !strings.Contains(got.body, "<title>relay") {
		t.Errorf("GET /: status %d, %s", got.StatusCode, got.body)
	}
}

func ExampleNew() {
	sessions, err := session.New(session.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := New(Config{
		API: http.NotFoundHandler(), Access: func(string, string) session.Role { return session.Owner }, Sessions: sessions, Assets: Assets(),
		Listen: "127.0.0.1:8350",
	})
	fmt.Println(h != nil, err)
	// Output: true <nil>
}
