package auth_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/treatrelay/relay/auth/login"
)

// Providers and proxies add or take away a slash, and not all of them escape a code. It reaches the token endpoint as it was meant.
func TestCallbackAsItComes(t *testing.T) {
	for name, c := range map[string]struct{ redirect, path, raw, code string }{
		"slash added":      {"http://127.0.0.1:0/callback", "/callback/", "code=c1", "c1"},
		"slash taken away": {"http://127.0.0.1:0/callback/", "/callback", "code=c1", "c1"},
		"no path":          {"http://127.0.0.1:0", "/", "code=c1", "c1"},
		"plus":             {"http://127.0.0.1:0/callback", "/callback", "code=a+b", "a+b"},
		"escaped plus":     {"http://127.0.0.1:0/callback", "/callback", "code=a%2Bb", "a+b"},
		"semicolon":        {"http://127.0.0.1:0/callback", "/callback", "code=a;b=c", "a;b=c"},
		"percent":          {"http://127.0.0.1:0/callback", "/callback", "code=a%b", "a%b"},
		"percent, no hex":  {"http://127.0.0.1:0/callback", "/callback", "code=a%zz", "a%zz"},
		"percent at end":   {"http://127.0.0.1:0/callback", "/callback", "scope=x+y&code=a%", "a%"},
		"all of them":      {"http://127.0.0.1:0/callback", "/callback/", "code=4/0A+b;c%d%2Fe==", "4/0A+b;c%d/e=="},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			at := startLogin(t, w, c.redirect, login.Options{})
			w.fake.mu.Lock()
			w.fake.codes[c.code] = at.redirect
			w.fake.mu.Unlock()
			u, err := url.Parse(at.redirect)
			if err != nil {
				t.Fatal(err)
			}
			status, page, _ := at.fetch(http.MethodGet, "http://"+u.Host+c.path+"?"+c.raw+"&state="+at.state)
			if status != http.StatusOK {
				t.Errorf("%d %s", status, page)
			}
			if err := at.wait(); err != nil {
				t.Error(err)
			}
			if got := w.token(t); got.Generation != 1 {
				t.Errorf("generation %d", got.Generation)
			}
		})
	}
}

// A reply without a state is refused by the listener in any case, with a page that says why and what to do, and taken from a paste
// only where the user said so.
func TestMissingState(t *testing.T) {
	for _, lax := range []bool{false, true} {
		w := newWorld(t)
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close() }()
		defer func() { _ = out.Close() }()
		at := startLogin(t, w, "http://127.0.0.1:0/callback", login.Options{Paste: in, AcceptMissingState: lax})
		code := w.fake.code(at.redirect)
		status, page, _ := at.get(url.Values{"code": {code}})
		if status != http.StatusBadRequest || !strings.Contains(page, "It holds no state") ||
			!strings.Contains(page, "TreatStream returns no state at all") || !strings.Contains(page, "relay auth login mystream --accept-missing-state") {
			t.Errorf("%d %s", status, page)
		}
		at.goesOn()
		if n := w.fake.count("/token"); n != 0 {
			t.Fatalf("%d token requests, want 0", n)
		}
		// A wrong state is refused whatever was said.
		for _, query := range []url.Values{{"code": {code}, "state": {"guess"}}, {"code": {code}, "state": {""}}, {"code": {code}}} {
			if _, err := io.WriteString(out, at.redirect+"?"+query.Encode()+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if !lax {
			if _, err := io.WriteString(out, at.redirect+"?"+url.Values{"code": {code}, "state": {at.state}}.Encode()+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if err := at.wait(); err != nil {
			t.Errorf("lax %v: %v", lax, err)
		}
		if got := w.token(t); got.Generation != 1 || w.fake.count("/token") != 1 {
			t.Errorf("generation %d after %d requests", got.Generation, w.fake.count("/token"))
		}
		text := at.prompt.String()
		want := 2 // The page, and the paste.
		if lax {
			want = 1
		}
		if n, m := strings.Count(text, "wrong state"), strings.Count(text, "It holds no state"); n != 2 || m != want {
			t.Errorf("lax %v: a wrong state %d times, none %d times, want 2 and %d:\n%s", lax, n, m, want, text)
		}
		w.fake.findSecrets("the prompt", text)
	}
}
