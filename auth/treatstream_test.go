package auth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientID     = "client-one"
	clientSecret = "canary-secret-of-the-client"
	redirectURL  = "http://localhost:8919/back"
)

// fakeTreatStream plays the provider to the letter of its documentation: codes work once, every refresh replaces both tokens,
// and whatever is not as documented is refused and reported to the test.
type fakeTreatStream struct {
	t      *testing.T
	server *httptest.Server
	dial   func(context.Context, string, string) (net.Conn, error) // nil for the network

	mu      sync.Mutex
	tokens  string            // the JSON of expires_in in replies; "" leaves it out
	codes   map[string]string // code to redirect_uri
	access  map[string]bool   // tokens that work
	refresh string            // the one that works
	issued  []string          // every secret ever given out
	asked   map[string]int    // requests by path
	faults  map[string][]http.HandlerFunc
	down    http.HandlerFunc // answers everything while it is set
}

func newFake(t *testing.T) *fakeTreatStream {
	f := blankFake(t)
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// newPipedFake is for synctest: it listens on pipes within the bubble, whose time stands still while a socket is waited for.
func newPipedFake(t *testing.T) *fakeTreatStream {
	f := blankFake(t)
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	f.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	f.server.Start()
	f.dial = l.dial
	t.Cleanup(f.server.Close)
	return f
}

func blankFake(t *testing.T) *fakeTreatStream {
	return &fakeTreatStream{
		t: t, tokens: "2592000", codes: map[string]string{}, access: map[string]bool{},
		asked: map[string]int{}, faults: map[string][]http.HandlerFunc{}, issued: []string{clientSecret},
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (f *fakeTreatStream) issue(kind string) string {
	s := "canary-" + kind + "-" + rand.Text()
	f.issued = append(f.issued, s)
	return s
}

// code is what the provider gives the browser.
func (f *fakeTreatStream) code(redirect string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.issue("code")
	f.codes[c] = redirect
	return c
}

// fault lets the next requests for path be answered by handlers, one each.
func (f *fakeTreatStream) fault(path string, handlers ...http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[path] = append(f.faults[path], handlers...)
}

// setDown answers everything with h, or as usual again when h is nil.
func (f *fakeTreatStream) setDown(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = h
}

func (f *fakeTreatStream) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// revoke ends the grant at the provider's side.
func (f *fakeTreatStream) revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.access)
	f.refresh = "revoked-" + rand.Text()
}

// expire ends the access tokens only.
func (f *fakeTreatStream) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.access)
}

func (f *fakeTreatStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path]++
	if down := f.down; down != nil {
		f.mu.Unlock()
		down(w, r)
		return
	}
	if queue := f.faults[r.URL.Path]; len(queue) > 0 {
		f.faults[r.URL.Path] = queue[1:]
		f.mu.Unlock()
		queue[0](w, r)
		return
	}
	defer f.mu.Unlock()
	f.answer(w, r)
}

// answer is called with the lock held.
func (f *fakeTreatStream) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Accept") != "application/json" || r.Header.Get("User-Agent") != "relay/test" ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		f.t.Errorf("%s %s: not as documented: %v", r.Method, r.URL.Path, r.Header)
	}
	if err := r.ParseForm(); err != nil {
		f.t.Error(err)
	}
	form := r.PostForm.Get
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, code)
	}
	if form("client_id") != clientID {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	switch r.URL.Path {
	case "/token":
		redirect, known := f.codes[form("code")]
		delete(f.codes, form("code"))
		if form("client_secret") != clientSecret || form("grant_type") != "authorization_code" || form("scope") != "userinfo" {
			refuse(http.StatusBadRequest, "invalid_request")
		} else if !known || redirect != form("redirect_uri") {
			refuse(http.StatusBadRequest, "invalid_grant")
		} else {
			f.grant(w)
		}
	case "/refresh":
		if form("client_secret") != clientSecret || form("grant_type") != "refresh_token" {
			refuse(http.StatusBadRequest, "invalid_request")
		} else if form("refresh_token") != f.refresh {
			clear(f.access) // Reuse ends the whole family.
			f.refresh = "ended"
			refuse(http.StatusBadRequest, "invalid_grant")
		} else {
			f.grant(w)
		}
	case "/socket":
		if !f.access[form("access_token")] {
			refuse(http.StatusUnauthorized, "access token is not valid")
			return
		}
		_, _ = fmt.Fprintf(w, `{"socket_token":%q}`, f.issue("socket"))
	default:
		f.t.Errorf("request for %s", r.URL.Path)
		http.NotFound(w, r)
	}
}

func (f *fakeTreatStream) grant(w http.ResponseWriter) {
	clear(f.access)
	access := f.issue("access")
	f.refresh = f.issue("refresh")
	f.access[access] = true
	expires := ""
	if f.tokens != "" {
		expires = `"expires_in":` + f.tokens + `,`
	}
	_, _ = fmt.Fprintf(w, `{"access_token":%q,%s"token_type":"Bearer","scope":"userinfo","refresh_token":%q}`, access, expires, f.refresh)
}

// carriedOut does what was asked and loses the reply.
func (f *fakeTreatStream) carriedOut(_ http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.answer(httptest.NewRecorder(), r)
	f.mu.Unlock()
	panic(http.ErrAbortHandler)
}

func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for pair := range slices.Chunk(header, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// journal is a log that several goroutines write and a test reads.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// world is an account with everything around it.
type world struct {
	*auth.Account
	fake  *fakeTreatStream
	store *auth.FileStore
	dir   string
	log   *journal
}

func newStore(t *testing.T) (*auth.FileStore, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tokens")
	store, err := auth.NewFileStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store, dir
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, newFake(t))
}

func newWorldAt(t *testing.T, f *fakeTreatStream) *world {
	t.Helper()
	store, dir := newStore(t)
	w := &world{fake: f, store: store, dir: dir, log: &journal{}}
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
	p, _ := auth.Lookup("treatstream")
	return auth.Config{
		Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL,
		Endpoints: auth.Endpoints{
			Authorize: f.server.URL + "/authorize", Token: f.server.URL + "/token", Refresh: f.server.URL + "/refresh",
			SocketToken: f.server.URL + "/socket",
		},
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

func (w *world) grant(t *testing.T) auth.Grant {
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

const day = 24 * time.Hour
