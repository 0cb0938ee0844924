package historyhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// library is a provider's history, which it tells or refuses.
type library struct {
	t      *testing.T
	server *httptest.Server
	source *Source
	dir    string

	mu        sync.Mutex
	answers   []http.HandlerFunc // the last one stays
	tokens    []string           // in the requests, as they came
	refreshes int
}

func tokenOf(generation int) string { return fmt.Sprintf("access/token+%%%d-canary", generation) }

func newLibrary(t *testing.T, answers ...http.HandlerFunc) *library {
	t.Helper()
	l := &library{t: t, answers: answers, dir: t.TempDir()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /refresh", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refreshes++
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"refresh_token":"refresh-canary","expires_in":2592000}`, tokenOf(l.refreshes+1)) // the client may be gone
	})
	mux.HandleFunc("GET /api/{token}", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.tokens = append(l.tokens, r.PathValue("token"))
		answer := l.answers[0]
		if len(l.answers) > 1 {
			l.answers = l.answers[1:]
		}
		l.mu.Unlock()
		answer(w, r)
	})
	l.server = httptest.NewServer(mux)
	t.Cleanup(l.server.Close)
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{Fallback: filepath.Join(l.dir, "identity.txt")})
	if err != nil {
		t.Fatal(err)
	}
	files, err := store.Open(filepath.Join(l.dir, "accounts"), store.NewAgeSealer(id))
	if err != nil {
		t.Fatal(err)
	}
	err = files.Save("acc", grant.Grant{
		Provider: "treatstream", AccessToken: secret.New(tokenOf(1)), RefreshToken: secret.New("refresh-canary"), ObtainedAt: time.Now(),
		Expiry: time.Now().Add(30 * 24 * time.Hour), Generation: 1, State: grant.Active,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := provider.Lookup("treatstream")
	c := auth.Config{
		Account: "acc", Provider: p, ClientID: "id", ClientSecret: secret.New("client-canary"), RedirectURL: "http://127.0.0.1:0/",
		Overrides: auth.Overrides{Endpoints: provider.Endpoints{Refresh: l.server.URL + "/refresh", History: l.server.URL + "/api/"}},
	}
	account, err := auth.New(c, files, auth.Options{Log: zerolog.New(io.Discard)})
	if err != nil {
		t.Fatal(err)
	}
	if l.source, err = New(c, account, l.dir, wire.NewTransport()); err != nil {
		t.Fatal(err)
	}
	l.source.wait.InitialInterval = time.Millisecond
	return l
}

// fetch reads the history, and checks that nothing tells a token and that no file is left.
func (l *library) fetch() (string, error) {
	l.t.Helper()
	reply, err := l.source.Fetch(l.t.Context())
	var text []byte
	if err == nil {
		if text, err = io.ReadAll(reply); err != nil {
			l.t.Fatal(err)
		}
		if err := reply.Close(); err != nil {
			l.t.Error(err)
		}
		err = nil
	} else {
		for _, form := range []string{"canary", "access/token", "access%2Ftoken"} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), form) {
				l.t.Errorf("the error has the token: %v", err)
			}
		}
		if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "history") {
			l.t.Errorf("error %q", err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, ".history*")); len(left) > 0 {
		l.t.Errorf("files are left: %v", left)
	}
	return string(text), err
}

// seen returns the tokens of the requests so far and how often one was renewed.
func (l *library) seen() (tokens []string, refreshes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tokens), l.refreshes
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func refuses(status int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		http.Error(w, "no: "+r.URL.Path, status)
	}
}

// cutOff promises more than it sends.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `[{"title":"Tea"`)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// No content is an answer without treats.
func TestHistoryWithoutContent(t *testing.T) {
	l := newLibrary(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if text, err := l.fetch(); err != nil || text != "null" {
		t.Errorf("%q, error %v", text, err)
	}
}

func TestHistoryRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		answers             []http.HandlerFunc
		fault               string
		requests, refreshes int
	}{
		"at once":               {[]http.HandlerFunc{says("[]")}, "", 1, 0},
		"token refused":         {[]http.HandlerFunc{refuses(401), says("[]")}, "", 2, 1},
		"token forbidden":       {[]http.HandlerFunc{refuses(403), says("[]")}, "", 2, 1},
		"refused for good":      {[]http.HandlerFunc{refuses(401)}, "HTTP 401", 2, 1},
		"outages":               {[]http.HandlerFunc{refuses(503), refuses(500), hangUp, says("[]")}, "", 4, 0},
		"an outage that lasts":  {[]http.HandlerFunc{refuses(503)}, "HTTP 503", maxAttempts, 0},
		"throttled":             {[]http.HandlerFunc{refuses(429, "Retry-After", "0"), says("[]")}, "", 2, 0},
		"throttled for long":    {[]http.HandlerFunc{refuses(429, "Retry-After", "3600"), says("[]")}, "HTTP 429", 1, 0},
		"cut off":               {[]http.HandlerFunc{cutOff, says("[]")}, "", 2, 0},
		"cut off each time":     {[]http.HandlerFunc{cutOff}, "cut off", maxAttempts, 0},
		"hangs up each time":    {[]http.HandlerFunc{hangUp}, "no answer", maxAttempts, 0},
		"not there":             {[]http.HandlerFunc{refuses(404)}, "HTTP 404: check endpoints.history", 1, 0},
		"leads elsewhere":       {[]http.HandlerFunc{refuses(302, "Location", "/api/elsewhere-canary")}, "HTTP 302", 1, 0},
		"refused and an outage": {[]http.HandlerFunc{refuses(401), refuses(502), says("[]")}, "", 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLibrary(t, tt.answers...)
			text, err := l.fetch()
			switch {
			case tt.fault == "" && (err != nil || text != "[]"):
				t.Errorf("%q, error %v", text, err)
			case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
				t.Errorf("error %v, want one about %q", err, tt.fault)
			}
			tokens, refreshes := l.seen()
			if len(tokens) != tt.requests || refreshes != tt.refreshes {
				t.Errorf("%d requests, %d refreshes, want %d and %d", len(tokens), refreshes, tt.requests, tt.refreshes)
			}
			for i, token := range tokens {
				if want := tokenOf(1 + min(i, tt.refreshes)); token != want {
					t.Errorf("request %d has the token %q, want %q", i, token, want)
				}
			}
		})
	}
}

// A token that is refused though it is fresh is no reason to make another one each time.
func TestHistoryRefusedForGood(t *testing.T) {
	l := newLibrary(t, refuses(403))
	for range 3 {
		if _, err := l.fetch(); err == nil {
			t.Error("no error")
		}
	}
	if tokens, refreshes := l.seen(); refreshes != 1 || len(tokens) != 4 {
		t.Errorf("%d refreshes in %d requests, want 1 in 4", refreshes, len(tokens))
	}
}

// A provider that asks for more patience than one comparison has is left alone until then.
func TestHistoryAsksToWait(t *testing.T) {
	l := newLibrary(t, refuses(503, "Retry-After", "3600"))
	for range 3 {
		if _, err := l.fetch(); err == nil {
			t.Error("no error")
		}
	}
	if tokens, _ := l.seen(); len(tokens) != 1 {
		t.Errorf("%d requests, want 1", len(tokens))
	}
	l.source.notBefore = time.Now()
	_, err := l.fetch()
	if tokens, _ := l.seen(); err == nil || len(tokens) != 2 {
		t.Errorf("%d requests, want 2; error %v", len(tokens), err)
	}
}

func TestHistoryGivesUpWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	l := newLibrary(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	gone := errors.New("somebody has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-asked
		cancel(gone)
	}()
	if _, err := l.source.Fetch(ctx); err == nil || !strings.Contains(err.Error(), gone.Error()) {
		t.Errorf("error %v, want the cause", err)
	}
}

// What is kept lies under no name that somebody could guess or link elsewhere, is for the user only, and is gone afterwards.
func TestHistoryFile(t *testing.T) {
	l := newLibrary(t, says("[]"))
	aim := filepath.Join(t.TempDir(), "aim")
	if err := os.Symlink(aim, filepath.Join(l.dir, ".history-acc")); err != nil {
		t.Fatal(err)
	}
	reply, err := l.source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := reply.(*pagedReply).Stat(); err != nil || info.Size() != 2 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := reply.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(aim); err == nil {
		t.Error("a link was followed")
	}
	left := func() []string {
		all, err := filepath.Glob(filepath.Join(l.dir, spoolName+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := left(); len(all) != 1 {
		t.Errorf("left in the folder: %v", all)
	}
	if err := os.WriteFile(filepath.Join(l.dir, ".history-123"), nil, 0o600); err != nil { // by a process that was killed
		t.Fatal(err)
	}
	RemoveTempFiles(l.dir)
	if all := left(); len(all) != 0 {
		t.Errorf("left after sweeping: %v", all)
	}
}

// at makes the library's source ask at another URL below its server.
func (l *library) at(rest string) {
	l.t.Helper()
	var err error
	if l.source.url, err = ParseURL(l.server.URL + rest); err != nil {
		l.t.Fatal(err)
	}
}

func TestHistoryWithAQuery(t *testing.T) {
	l := newLibrary(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) })
	l.at("/api?days=30")
	text, err := l.fetch()
	if tokens, _ := l.seen(); err != nil || text != "days=30" || len(tokens) != 1 || tokens[0] != tokenOf(1) {
		t.Errorf("%q with the tokens %q, error %v", text, tokens, err)
	}
}

// The token goes where {access_token} stands, whatever is around it, and in no error.
func TestHistoryURL(t *testing.T) {
	inPath, inQuery := url.PathEscape(tokenOf(1)), url.QueryEscape(tokenOf(1))
	for text, want := range map[string]string{
		"/api":                                "/api/" + inPath,
		"/api/":                               "/api/" + inPath,
		"":                                    "/" + inPath,
		"/a%2Fb/?x=%26":                       "/a%2Fb/" + inPath + "?x=%26",
		"/v2/{access_token}/treats":           "/v2/" + inPath + "/treats",
		"/v2/{access_token}/":                 "/v2/" + inPath + "/",
		"/v2/%7Baccess_token%7D/treats":       "/v2/" + inPath + "/treats",
		"/v2/%7baccess_token%7d":              "/v2/" + inPath,
		"/v2/a-{access_token}.json?b={}":      "",
		"/v2/a-{access_token}.json":           "/v2/a-" + inPath + ".json",
		"/treats?access_token={access_token}": "/treats?access_token=" + inQuery,
		"/treats?days=30&t={access_token}&x":  "/treats?days=30&t=" + inQuery + "&x",
		"/treats?t=%7Baccess_token%7D":        "/treats?t=" + inQuery,
		"/{access_token}?t={access_token}":    "/" + inPath + "?t=" + inQuery,
		"?t={access_token}":                   "/?t=" + inQuery,
		"/treats?t={token}":                   "",
		"/treats/{your-access-token}":         "",
		"/treats/{ACCESS_TOKEN}":              "",
		"/treats/{access_token":               "",
	} {
		if _, err := ParseURL("https://example.com" + text); (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), "{access_token}") {
			t.Errorf("%s: error %v", text, err)
		}
		if want == "" {
			continue
		}
		l := newLibrary(t, refuses(404))
		asked := make(chan string, 1)
		l.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.RequestURI
			refuses(404)(w, r)
		})
		l.at(text)
		if _, err := l.fetch(); err == nil {
			t.Errorf("%s: no error", text)
		}
		if got := <-asked; got != want {
			t.Errorf("%s: asked for %s, want %s", text, got, want)
		}
	}
}
