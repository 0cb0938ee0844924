package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/session"
)

func trusted(t testing.TB, texts ...string) proxies {
	t.Helper()
	all, errs := ParseProxies(texts)
	if errs != nil {
		t.Fatal(errs)
	}
	return all
}

func TestClientBehindProxies(t *testing.T) {
	p := trusted(t, "127.0.0.1", "::1", "10.0.0.0/8", "fd00::/8")
	for _, one := range []struct{ peer, xff, forwarded, want string }{
		{"192.0.2.1:80", "", "", "192.0.2.1"},
		{"[::ffff:192.0.2.1]:80", "", "", "192.0.2.1"},
		{"", "192.0.2.9", "", "invalid IP"},
		// Nobody else is believed.
		{"192.0.2.1:80", "198.51.100.7", "", "192.0.2.1"},
		{"192.0.2.1:80", "", "for=198.51.100.7", "192.0.2.1"},
		{"192.0.2.1:80", "198.51.100.7, 127.0.0.1", "for=198.51.100.7", "192.0.2.1"},
		// The last address that is no trusted proxy; what is before it is the client's invention.
		{"127.0.0.1:80", "", "", "127.0.0.1"},
		{"127.0.0.1:80", "198.51.100.7", "", "198.51.100.7"},
		{"[::ffff:127.0.0.1]:80", "198.51.100.7", "", "198.51.100.7"},
		{"127.0.0.1:80", "203.0.113.5, 198.51.100.7", "", "198.51.100.7"},
		{"127.0.0.1:80", "127.0.0.1, 198.51.100.7", "", "198.51.100.7"},
		{"10.1.1.1:80", "203.0.113.5,198.51.100.7 , 10.2.2.2,127.0.0.1", "", "198.51.100.7"},
		{"10.1.1.1:80", "10.3.3.3, 10.2.2.2", "", "10.3.3.3"},
		{"127.0.0.1:80", "203.0.113.5|198.51.100.7", "", "198.51.100.7"},
		{"[fd00::1]:80", "2001:db8::5", "", "2001:db8::5"},
		{"[::1]:80", "[2001:db8::5]:4711, 10.0.0.1:80", "", "2001:db8::5"},
		{"[::1]:80", "::ffff:198.51.100.7", "", "198.51.100.7"},
		// What is no address ends the search.
		{"127.0.0.1:80", "unknown", "", "127.0.0.1"},
		{"10.1.1.1:80", "203.0.113.5, unknown, 10.2.2.2", "", "10.2.2.2"},
		{"10.1.1.1:80", "203.0.113.5, , 10.2.2.2", "", "10.2.2.2"},
		{"10.1.1.1:80", "[2001:db8::5", "", "10.1.1.1"},
		{"127.0.0.1:80", "", "for=198.51.100.7", "198.51.100.7"},
		{"127.0.0.1:80", "", `For="198.51.100.7:4711";proto=https;by=10.0.0.1`, "198.51.100.7"},
		{"127.0.0.1:80", "", `for="[2001:db8::5]:4711"`, "2001:db8::5"},
		{"127.0.0.1:80", "", "for=203.0.113.5, for=198.51.100.7;proto=http, for=10.2.2.2", "198.51.100.7"},
		{"127.0.0.1:80", "", "for=203.0.113.5|for=198.51.100.7", "198.51.100.7"},
		{"127.0.0.1:80", "", "for=203.0.113.5, for=_hidden", "127.0.0.1"},
		{"127.0.0.1:80", "", "for=203.0.113.5, proto=https", "127.0.0.1"},
		{"127.0.0.1:80", "", "for=198.51.100.7,", "198.51.100.7"},
		// A client cannot hide behind a quote what the proxy adds.
		{"127.0.0.1:80", "", `for="203.0.113.5, for=198.51.100.7`, "127.0.0.1"},
		{"127.0.0.1:80", "", `for="203.0.113.5, for="[2001:db8::5]"`, "127.0.0.1"},
		{"127.0.0.1:80", "", `for="203.0.113.5\, for="[2001:db8::5]"`, "127.0.0.1"},
		{"127.0.0.1:80", "", "for=203.0.113.5 for=198.51.100.7", "127.0.0.1"},
		{"127.0.0.1:80", "", "for=203.0.113.5;for=198.51.100.7", "127.0.0.1"},
		// A proxy may pass on the header that it does not set.
		{"127.0.0.1:80", "198.51.100.7", "for=198.51.100.7", "198.51.100.7"},
		{"127.0.0.1:80", "198.51.100.7", "for=203.0.113.5", "127.0.0.1"},
		{"127.0.0.1:80", "198.51.100.7", `for="`, "127.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: one.peer, Header: http.Header{}}
		for name, lines := range map[string]string{"X-Forwarded-For": one.xff, "Forwarded": one.forwarded} {
			if lines != "" {
				r.Header[name] = strings.Split(lines, "|")
			}
		}
		if got := p.client(r).String(); got != one.want {
			t.Errorf("%+v: the client is %s", one, got)
		}
	}
}

func TestProxiesAreParsed(t *testing.T) {
	all, errs := ParseProxies([]string{"10.0.0.0/8", "x", "::ffff:127.0.0.1"})
	if fmt.Sprint(all) != "[10.0.0.0/8 127.0.0.1/32]" || len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("the proxies are %v, the errors %v", all, errs)
	}
}

func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{`for=192.0.2.1;proto=https, for="[2001:db8::5]:4711"`, `for="a\"b`, ";;,,", `a="\`, "for=1;for=2", "FOR = 1"} {
		f.Add(seed)
	}
	p := trusted(f, "127.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		// Whatever a client sends before it, the address is the one that the proxy appends, or that of the proxy.
		for _, added := range []string{"for=198.51.100.7", `for="[2001:db8::5]:4711"`, `for="198.51.100.7";proto=https`} {
			r := &http.Request{RemoteAddr: "127.0.0.1:80", Header: http.Header{"Forwarded": {text + ", " + added}}}
			if got := p.client(r).String(); got != "198.51.100.7" && got != "2001:db8::5" && got != "127.0.0.1" {
				t.Errorf("%q makes %s of %s", text, got, added)
			}
		}
	})
}

// behindProxy starts a reverse proxy on loopback that adds the header From of a request to X-Forwarded-For, as a proxy adds the address of its client.
func behindProxy(t *testing.T, cfg Config, rewrite func(*httputil.ProxyRequest)) *site {
	t.Helper()
	s := serve(t, cfg)
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: s.client.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Del("From")
		r.Out.Header["X-Forwarded-For"] = append(r.In.Header.Values("X-Forwarded-For"), r.In.Header.Get("From"))
		rewrite(r)
	}})
	t.Cleanup(proxy.Close)
	s.url = proxy.URL
	return s
}

func from(address string) who { return header("From", address) }

// An attacker behind the proxy, who also invents addresses, locks out nobody but itself.
func TestLimitBehindAProxy(t *testing.T) {
	cfg := config(t)
	cfg.TrustedProxies = trusted(t, "127.0.0.1")
	s := behindProxy(t, cfg, func(*httputil.ProxyRequest) {})
	wrong, right := `{"password":"a wrong password"}`, `{"password":"`+ownerPassword+`"}`
	statuses := make(map[int]int)
	for i := range 20 {
		got, _ := s.logIn(wrong, from(fmt.Sprintf("2001:db8:1:2::%x", i+1)), header("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)))
		statuses[got.StatusCode]++
	}
	if statuses[http.StatusUnauthorized] > 10 || statuses[http.StatusTooManyRequests] < 10 {
		t.Errorf("the attacker gets %v", statuses)
	}
	for _, address := range []string{"203.0.113.5", "2001:db8:1:3::1"} {
		if got, _ := s.logIn(right, from(address)); got.StatusCode != http.StatusNoContent {
			t.Errorf("the right password from %s: status %d: %s", address, got.StatusCode, got.body)
		}
	}
	if text := s.log.String(); !strings.Contains(text, `"client":"203.0.113.5"`) || strings.Contains(text, "trusted_proxies") {
		t.Errorf("the log is %s", text)
	}
}

// Without trusted_proxies, all clients of the proxy share a limit. The log says so, and whoever comes another way, or with a link, gets in.
func TestLimitBehindAProxyThatIsNotTrusted(t *testing.T) {
	cfg := config(t)
	cfg.TrustedProxies = trusted(t, "192.0.2.1")
	s := behindProxy(t, cfg, func(*httputil.ProxyRequest) {})
	for i := range 20 {
		s.logIn(`{"password":"a wrong password"}`, from(fmt.Sprintf("198.51.100.%d", i)))
	}
	right := `{"password":"` + ownerPassword + `"}`
	if got, _ := s.logIn(right, from("203.0.113.5")); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right password: status %d, want 429", got.StatusCode)
	}
	if text := s.log.String(); strings.Count(text, "http.trusted_proxies") != 1 || !strings.Contains(text, `"proxy":"127.0.0.1"`) {
		t.Errorf("the log is %s", text)
	}
	if got, _ := s.logIn(`{"link":"`+s.sessions.NewLink(session.Owner).Reveal()+`"}`, from("203.0.113.5")); got.StatusCode != http.StatusNoContent {
		t.Errorf("a link: status %d, want 204", got.StatusCode)
	}
	if _, _, err := s.sessions.LogIn(netip.MustParseAddr("203.0.113.5"), ownerPassword); err != nil {
		t.Errorf("the right password from another address: %v", err)
	}
}

func TestCookieBehindAProxy(t *testing.T) {
	for _, one := range []struct {
		trusted, proto, forwarded string
		secure                    bool
	}{
		{"127.0.0.1", "https", "", true},
		{"127.0.0.1", "HTTPS, http", "", true},
		{"127.0.0.1", "http", "", false},
		{"127.0.0.1", "", "", false},
		{"127.0.0.1", "", "for=198.51.100.7;proto=https", true},
		{"127.0.0.1", "http", "for=198.51.100.7;proto=https", false},
		{"192.0.2.1", "https", "for=198.51.100.7;proto=https", false},
	} {
		cfg := config(t)
		cfg.TrustedProxies = trusted(t, one.trusted)
		s := behindProxy(t, cfg, func(r *httputil.ProxyRequest) {
			if one.proto != "" {
				r.Out.Header.Set("X-Forwarded-Proto", one.proto)
			}
			if one.forwarded != "" {
				r.Out.Header.Set("Forwarded", one.forwarded)
			}
		})
		if _, c := s.logIn(`{"password":"`+ownerPassword+`"}`, from("198.51.100.7")); c == nil || c.Secure != one.secure {
			t.Errorf("%+v: the cookie is %v", one, c)
		}
	}
}

// The host in the browser counts, also if the proxy replaces the header Host.
func TestHostBehindAProxy(t *testing.T) {
	for _, one := range []struct {
		trusted, host, forwarded string
		status                   int
	}{
		{"127.0.0.1", "relay.example.com", "relay.example.com", 200},
		{"127.0.0.1", "127.0.0.1:8350", "relay.example.com", 200},
		{"127.0.0.1", "127.0.0.1:8350", "", 200},
		{"127.0.0.1", "127.0.0.1:8350", "evil.example", 421},
		{"127.0.0.1", "127.0.0.1:8350", "evil.example, relay.example.com", 421},
		{"127.0.0.1", "evil.example", "relay.example.com", 421},
		{"127.0.0.1", "evil.example", "evil.example", 421},
		{"192.0.2.1", "127.0.0.1:8350", "evil.example", 200}, // means nothing
		{"192.0.2.1", "evil.example", "relay.example.com", 421},
	} {
		cfg := config(t)
		cfg.TrustedProxies, cfg.PublicURL = trusted(t, one.trusted), "https://relay.example.com"
		s := behindProxy(t, cfg, func(r *httputil.ProxyRequest) {
			r.Out.Host = one.host
			if one.forwarded != "" {
				r.Out.Header.Set("X-Forwarded-Host", one.forwarded)
			}
		})
		loggedIn := s.as(session.Owner)
		owner := func(r *http.Request) { // relay names the cookie by the host that the proxy sends
			host := r.Host
			r.Host = one.host
			loggedIn(r)
			r.Host = host
		}
		got := s.do(http.MethodGet, "/api/v1/status", "", owner, header("Origin", "https://relay.example.com"), header("Sec-Fetch-Site", "same-origin"))
		if got.StatusCode != one.status {
			t.Errorf("%+v: GET: status %d: %s", one, got.StatusCode, got.body)
		}
		got = s.do(http.MethodPost, "/api/v1/sinks/nats/enable", "", owner, header("Origin", "https://relay.example.com"), header("Sec-Fetch-Site", "same-origin"))
		if got.StatusCode != one.status {
			t.Errorf("%+v: POST: status %d: %s", one, got.StatusCode, got.body)
		}
		if got := s.do(http.MethodPost, "/api/v1/sinks/nats/enable", "", owner, header("Origin", "https://evil.example")); got.StatusCode < 400 {
			t.Errorf("%+v: POST of another origin: status %d", one, got.StatusCode)
		}
	}
}
