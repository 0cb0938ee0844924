package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
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
