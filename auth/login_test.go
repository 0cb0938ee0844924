package auth_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/login"
)

// attempt is a login under way, seen from the browser.
type attempt struct {
	t        *testing.T
	w        *world
	shown    chan string // the authorize URL
	prompt   *authtest.Log
	done     chan error
	state    string
	redirect string
}

func startLogin(t *testing.T, w *world, redirect string, opts login.Options) *attempt {
	t.Helper()
	w.Account = w.account(t, w.store, func(cfg *auth.Config) { cfg.RedirectURL = redirect })
	at := &attempt{t: t, w: w, shown: make(chan string, 1), prompt: &authtest.Log{}, done: make(chan error, 1)}
	opts.Prompt = at.prompt
	browser := opts.Browser
	opts.Browser = func(target string) error {
		at.shown <- target
		if browser != nil {
			return browser(target)
		}
		return nil
	}
	go func() { at.done <- w.Login(t.Context(), opts) }()
	select {
	case target := <-at.shown:
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		at.state, at.redirect = u.Query().Get("state"), u.Query().Get("redirect_uri")
	case err := <-at.done:
		t.Fatalf("login ended at once: %v", err)
	}
	return at
}

// get is the browser following a redirect.
func (at *attempt) get(query url.Values) (int, string, http.Header) {
	at.t.Helper()
	return at.fetch(http.MethodGet, at.redirect+"?"+query.Encode())
}

func (at *attempt) fetch(method, target string) (int, string, http.Header) {
	at.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(at.t.Context(), method, target, nil)
	if err != nil {
		at.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		at.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		at.t.Fatal(err)
	}
	return resp.StatusCode, string(page), resp.Header
}

func (at *attempt) goesOn() {
	at.t.Helper()
	select {
	case err := <-at.done:
		at.t.Fatalf("the login ended: %v", err)
	default:
	}
}

func (at *attempt) wait() error {
	at.t.Helper()
	select {
	case err := <-at.done:
		// Nothing listens any more.
		if u, _ := url.Parse(at.redirect); u.Host != "" {
			if c, err := net.DialTimeout("tcp", u.Host, time.Second); err == nil {
				_ = c.Close()
				at.t.Error("the listener is still open after the login")
			}
		}
		return err
	case <-time.After(20 * time.Second):
		at.t.Fatal("the login does not end")
		return nil
	}
}

func TestLogin(t *testing.T) {
	for _, redirect := range []string{"http://127.0.0.1:0/back", "http://localhost:0", "http://localhost:0/"} {
		t.Run(redirect, func(t *testing.T) {
			w := newWorld(t)
			at := startLogin(t, w, redirect, login.Options{})
			if len(at.state) < 22 || strings.Contains(at.redirect, ":0") {
				t.Errorf("state %q, redirect %q", at.state, at.redirect)
			}
			status, page, head := at.get(url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}})
			if status != 200 || !strings.Contains(page, "close this window") {
				t.Errorf("%d %s", status, page)
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			} {
				if got := head.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			w.fake.findSecrets("the page", page)
			if err := at.wait(); err != nil {
				t.Fatal(err)
			}
			if got := w.token(t); got.Generation != 1 {
				t.Errorf("generation %d", got.Generation)
			}
			if text := at.prompt.String(); !strings.Contains(text, "open this address in a browser") || !strings.Contains(text, at.state) {
				t.Errorf("prompt %q", text)
			}
			w.fake.findSecrets("the prompt", at.prompt.String())
		})
	}
}

// Nothing that a hostile page can send ends the login or gets anywhere.
func TestLoginRefusals(t *testing.T) {
	w := newWorld(t)
	at := startLogin(t, w, "http://127.0.0.1:0/back", login.Options{})
	for name, query := range map[string]url.Values{
		"empty state":    {"code": {"x"}, "state": {""}},
		"wrong state":    {"code": {"x"}, "state": {"guess"}},
		"part of it":     {"code": {"x"}, "state": {at.state[:len(at.state)-1]}},
		"two states":     {"code": {"x"}, "state": {"guess", at.state}},
		"a forged error": {"error": {"access_denied"}, "state": {"guess"}},
		"no state":       {"code": {"x"}},
		"a script":       {"error": {"<script>alert(1)</script>"}, "error_description": {"<b>"}},
		"nothing":        {},
	} {
		status, page, _ := at.get(query)
		says := "wrong state"
		if !query.Has("state") {
			says = "It holds no state"
		}
		if status != 400 || !strings.Contains(page, says) || strings.Contains(page, "<script") || strings.Contains(page, "<b>") {
			t.Errorf("%s: %d %s", name, status, page)
		}
	}
	base := strings.TrimSuffix(at.redirect, "/back")
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{http.MethodGet, base + "/favicon.ico", 404},
		{http.MethodGet, base + "/", 404},
		{http.MethodGet, base + "/back/more?state=" + at.state + "&code=x", 404},
		{http.MethodGet, base + "/backup?state=" + at.state + "&code=x", 404},
		{http.MethodPost, at.redirect + "?state=" + at.state + "&code=x", 405},
		{http.MethodHead, at.redirect + "?state=" + at.state + "&code=x", 405},
	} {
		if status, _, _ := at.fetch(c.method, c.target); status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, status, c.status)
		}
	}
	at.goesOn()
	if n := w.fake.count("/token"); n != 0 {
		t.Errorf("%d token requests, want 0", n)
	}
	if n, m := strings.Count(at.prompt.String(), "wrong state"), strings.Count(at.prompt.String(), "It holds no state"); n != 5 || m != 3 {
		t.Errorf("the user saw a wrong state reported %d times and of none %d times, want 5 and 3", n, m)
	}
	if status, page, _ := at.get(url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}}); status != 200 {
		t.Errorf("%d %s", status, page)
	}
	if err := at.wait(); err != nil {
		t.Error(err)
	}
}

func TestLoginEndsBadly(t *testing.T) {
	for _, c := range []struct {
		name  string
		query func(at *attempt) url.Values
		page  string
		err   string
	}{
		{"declined", func(*attempt) url.Values {
			return url.Values{"error": {"access_denied"}, "error_description": {"the <user> said\x1b no"}}
		}, "the &lt;user&gt; said no", "TreatStream declined: access_denied (the <user> said no)"},
		{"no code", func(*attempt) url.Values { return url.Values{} }, "holds no code", "neither a code nor an error"},
		{"bad code", func(at *attempt) url.Values {
			return url.Values{"code": {at.w.fake.code("http://elsewhere/")}}
		}, "Not connected", "HTTP 400 (invalid_grant)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			at := startLogin(t, w, "http://127.0.0.1:0", login.Options{})
			query := c.query(at)
			query.Set("state", at.state)
			status, page, _ := at.get(query)
			if status < 400 || !strings.Contains(page, c.page) {
				t.Errorf("%d, want %q in %s", status, c.page, page)
			}
			w.fake.findSecrets("the page", page)
			err := at.wait()
			w.wantError(t, err, false, "log in mystream", c.err)
			if _, err := w.Token(t.Context()); !errors.Is(err, grant.ErrNone) {
				t.Errorf("a grant after all: %v", err)
			}
		})
	}
}

// A browser that loads the page twice exchanges the code once.
func TestLoginTwice(t *testing.T) {
	w := newWorld(t)
	at := startLogin(t, w, "http://127.0.0.1:0", login.Options{})
	query := url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}}
	second := make(chan string, 1)
	w.fake.fault("/token", func(rw http.ResponseWriter, r *http.Request) {
		arrived := make(chan struct{})
		go func() {
			close(arrived)
			_, page, _ := at.get(query)
			second <- page
		}()
		<-arrived
		time.Sleep(50 * time.Millisecond) // The second one is on its way, or comes as late as a browser may.
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		w.fake.answer(rw, r)
	})
	if status, page, _ := at.get(query); status != 200 {
		t.Errorf("%d %s", status, page)
	}
	if page := <-second; !strings.Contains(page, "Already used") {
		t.Errorf("the second page says %s", page)
	}
	if err := at.wait(); err != nil {
		t.Error(err)
	}
	if n := w.fake.count("/token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestLoginByPaste(t *testing.T) {
	w := newWorld(t)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	defer func() { _ = out.Close() }()
	at := startLogin(t, w, "http://127.0.0.1:0/back", login.Options{
		Paste:   in,
		Browser: func(string) error { return errors.New("there is no desktop") },
	})
	good := url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}}.Encode()
	for _, line := range []string{
		"", "what now?", at.redirect + "?code=x&state=guess", "just-the-code",
		w.AuthorizeURL(at.state, at.redirect), // Copied from the wrong place.
	} {
		if _, err := io.WriteString(out, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(out, "  '"+at.redirect+"?"+good+"' \r\n"); err != nil {
		t.Fatal(err)
	}
	if err := at.wait(); err != nil {
		t.Fatal(err)
	}
	w.token(t)
	text := at.prompt.String()
	for part, times := range map[string]int{
		"It was not opened for you: there is no desktop.": 1, "paste it here": 1, "holds no state": 2, "holds no state and no code": 2, "wrong state": 1, "holds no code": 1,
		"Connected": 1,
	} {
		if n := strings.Count(text, part); n != times {
			t.Errorf("the prompt says %q %d times, want %d:\n%s", part, n, times, text)
		}
	}
	w.fake.findSecrets("the prompt", text)
}

func TestLoginPasteIsShut(t *testing.T) {
	w := newWorld(t)
	at := startLogin(t, w, "http://127.0.0.1:0", login.Options{Paste: strings.NewReader("")})
	at.get(url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}})
	if err := at.wait(); err != nil {
		t.Error(err)
	}
}

func TestLoginTimeout(t *testing.T) {
	w := newWorld(t)
	at := startLogin(t, w, "http://127.0.0.1:0", login.Options{Timeout: 50 * time.Millisecond})
	w.wantError(t, at.wait(), false, "nobody answered within 50ms", "relay auth login mystream")
}

func TestLoginIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.Account = w.account(t, w.store, func(cfg *auth.Config) { cfg.RedirectURL = "http://127.0.0.1:0" })
	ctx, cancel := context.WithCancelCause(t.Context())
	err := w.Login(ctx, login.Options{Browser: func(string) error {
		cancel(errors.New("interrupted"))
		return nil
	}})
	w.wantError(t, err, false, "interrupted")
}

func TestLoginPort(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for redirect, want := range map[string]string{
		"http://127.0.0.1:" + port:        "port " + port + " of accounts.mystream.redirect_url is taken",
		"http://localhost:" + port + "/x": "port " + port + " of accounts.mystream.redirect_url is taken",
		"https://localhost:8919":          "accounts.mystream.redirect_url must be an http URL of this machine",
		"http://example.com:8919":         "accounts.mystream.redirect_url must be an http URL of this machine",
		"http://127.0.0.1.example.com:1":  "accounts.mystream.redirect_url must be an http URL of this machine",
		"":                                "accounts.mystream.redirect_url must be an http URL of this machine",
	} {
		a := w.account(t, w.store, func(cfg *auth.Config) { cfg.RedirectURL = redirect })
		w.wantError(t, a.Login(t.Context(), login.Options{}), false, want)
	}
}

// A fixed redirect URL reaches the provider to the letter: it compares it with what is registered.
func TestRedirectIsVerbatim(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	w := newWorld(t)
	at := startLogin(t, w, "http://localhost:"+port, login.Options{})
	if at.redirect != "http://localhost:"+port {
		t.Errorf("redirect_uri %q", at.redirect)
	}
	at.get(url.Values{"state": {at.state}, "code": {w.fake.code(at.redirect)}})
	if err := at.wait(); err != nil {
		t.Error(err)
	}
}

func TestAuthorizeURL(t *testing.T) {
	w := newWorld(t)
	want := (&oauth2.Config{
		ClientID: clientID, RedirectURL: redirectURL, Scopes: []string{"userinfo"},
		Endpoint: oauth2.Endpoint{AuthURL: w.fake.server.URL + "/authorize"},
	}).AuthCodeURL("s1")
	if got := w.AuthorizeURL("s1", redirectURL); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a := w.account(t, w.store, func(cfg *auth.Config) {
		cfg.Provider.Login.Scopes, cfg.Provider.Login.ScopeSeparator = []string{"read", "write"}, ","
	})
	if u, err := url.Parse(a.AuthorizeURL("s1", redirectURL)); err != nil || u.Query().Get("scope") != "read,write" {
		t.Errorf("%v, %v", u, err)
	}
}
