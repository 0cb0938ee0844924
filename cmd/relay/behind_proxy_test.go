package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Behind a reverse proxy that the configuration names, an attacker locks out nobody else, and the cookie stays on TLS.
func TestBehindAProxy(t *testing.T) {
	const password = "a long password"
	w := newWorld(t, simulatedRealtime)
	target, err := url.Parse(w.pages())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	w.configure(func(s *settings) {
		s.HTTP.PasswordFile, s.HTTP.TrustedProxies, s.HTTP.PublicURL = file, []string{"127.0.0.1"}, "https://relay.example.com"
	})
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Forwarded-For", r.In.Header.Get("From")) // stands for the address of the client
		r.Out.Header.Set("X-Forwarded-Proto", "https")
	}})
	defer proxy.Close()
	logIn := func(from, password string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, proxy.URL+"/session", strings.NewReader(`{"password":"`+password+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "relay.example.com"
		r.Header.Set("From", from)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	last := 0
	for range 20 {
		last = logIn("198.51.100.7", "a wrong password").StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the attacker gets %d at last, want 429", last)
	}
	resp := logIn("203.0.113.5", password)
	if all := resp.Cookies(); resp.StatusCode != http.StatusNoContent || len(all) != 1 || !all[0].Secure {
		t.Errorf("the right password from another address: %s, cookies %v", resp.Status, all)
	}
	p.err.find(t, `"client":"203.0.113.5"`)
	p.stop()
}
