package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/session"
)

// A page whose domain was pointed at relay (DNS rebinding) sends its own host.
func TestForeignHost(t *testing.T) {
	cfg := config(t)
	cfg.PublicURL = "https://relay.example.com"
	s := serve(t, cfg)
	owner, key := s.as(session.Owner), withKey(keyOfMain)
	for host, want := range map[string]int{
		"127.0.0.1:8350": 200, "127.0.0.1": 200, "localhost:8350": 200, "LOCALHOST": 200, "localhost.": 200, "[::1]:8350": 200, "127.1.2.3": 200,
		"[::ffff:127.0.0.1]": 200, "relay.example.com": 200, "Relay.Example.Com:443": 200, "relay.example.com.": 200,
		"evil.example": 421, "evil.example:8350": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "relay.example.com.evil.example": 421,
		"evilrelay.example.com": 421, "192.168.1.5:8350": 421, "0.0.0.0:8350": 421, "[2001:db8::1]": 421, "127.1": 421, "2130706433": 421, "0x7f000001": 421,
		"a@localhost": 421, "localhost:": 421, "localhost:8350:1": 421, "::1": 421, "[::1": 421, "[127.0.0.1]": 421, "xn--localhost": 421,
	} {
		for _, path := range []string{"/", "/overlay/main", "/assets/dashboard/app.js", "/api/v1/events"} {
			for _, as := range []who{owner, key} {
				got := s.do(http.MethodGet, path, "", as, header("Host", host))
				if got.StatusCode != want {
					t.Errorf("Host %s: GET %s: status %d, want %d", host, path, got.StatusCode, want)
				}
			}
		}
		if got := s.do(http.MethodGet, "/healthz", "", header("Host", host)); got.StatusCode != http.StatusOK || got.body != "/healthz" {
			t.Errorf("Host %s: GET /healthz: status %d", host, got.StatusCode)
		}
		if want == 421 && s.do(http.MethodPost, "/session", `{"link":"x"}`, header("Host", host)).StatusCode != want {
			t.Errorf("Host %s: POST /session does not answer %d", host, want)
		}
	}
	got := s.do(http.MethodGet, "/", "", header("Host", "evil.example"))
	if p := got.problem(t); !strings.Contains(p.Detail, `"evil.example"`) || !strings.Contains(p.Fix, "http.public_url") {
		t.Errorf("the problem is %+v", p)
	}
}

func TestHosts(t *testing.T) {
	for _, one := range []struct{ listen, public, allowed, refused string }{
		{"127.0.0.1:8350", "", "localhost 127.0.0.1 [::1]", "relay.lan 192.168.1.5 0.0.0.0"},
		{"192.168.1.5:8350", "", "localhost 192.168.1.5 192.168.1.5:80", "192.168.1.6 relay.lan"},
		{"[fd00::5]:8350", "", "[fd00::5] [fd00:0::5]:8350 localhost", "[fd00::6]"},
		{"[fe80::5%eth0]:8350", "", "[fe80::5]", "[fe80::6] [fe80::5%eth0]"},
		{"relay.lan:8350", "", "relay.lan RELAY.LAN:1 localhost", "other.lan lan 192.168.1.5"},
		{":8350", "", "192.168.1.5 [fd00::5]:8350 127.0.0.1", "relay.lan 192.168.1.5.evil.example"},
		{"0.0.0.0:8350", "", "192.168.1.5 [fd00::5]:8350", "relay.lan"},
		{"[::]:8350", "http://relay.lan:8350", "192.168.1.5 relay.lan", "other.lan"},
		{"127.0.0.1:8350", "https://[fd00::7]", "[fd00::7]", "[fd00::8]"},
	} {
		h, err := newHosts(one.listen, one.public)
		if err != nil {
			t.Errorf("%+v: %v", one, err)
			continue
		}
		for host := range strings.FieldsSeq(one.allowed) {
			if !h.allow(host) {
				t.Errorf("%s %s: %s is refused", one.listen, one.public, host)
			}
		}
		for host := range strings.FieldsSeq(one.refused) {
			if h.allow(host) {
				t.Errorf("%s %s: %s is allowed", one.listen, one.public, host)
			}
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost", "127.0.0.1:8350", "[::1]:8350", "evil.example", "[::1%eth0]", "localhost\x00", "a:b:c", "[]", ":", ":::0", "..", "a..b", "LOCALHOST.:1"} {
		f.Add(seed)
	}
	h, err := newHosts("127.0.0.1:8350", "https://relay.example.com")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		host, ok := hostOf(header)
		if !ok {
			if host != "" || h.allow(header) {
				t.Errorf("%q is malformed, and yet %q", header, host)
			}
			return
		}
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if same, ok := hostOf(again); !ok || same != host {
			t.Errorf("%q is the host %q, which is the host %q", header, host, same)
		}
		if !h.allow(header) {
			return
		}
		// Whatever is allowed, a URL with this host leads to relay.
		u, err := url.Parse("http://" + header)
		if err != nil {
			t.Fatalf("%q is allowed, and no host of a URL: %v", header, err)
		}
		name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		at, err := netip.ParseAddr(name)
		if loopback := err == nil && at.Unmap().IsLoopback(); name != "localhost" && name != "relay.example.com" && !loopback {
			t.Errorf("%q is allowed, and is %q", header, name)
		}
	})
}

// What the handler decides about is what the API gets.
func FuzzPath(f *testing.F) {
	for _, o := range operations() {
		_, path := o.sample("main")
		f.Add(path)
	}
	for _, seed := range []string{"/api/v1/overlays/main%2f..%2fsecond/stage", "/api/v1/events/../status", "/api/v1/%2e%2e/v1/status", "/api//v1/status", "/x%5c", "/api/v1/events;x"} {
		f.Add(seed)
	}
	all, allowed := echo(operations()).(*http.ServeMux), access(operations())
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !plain(u) {
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			_, pattern := all.Handler(&http.Request{Method: method, URL: u, Host: "localhost"})
			if !strings.Contains(pattern, " ") { // no operation
				continue
			}
			var least session.Role
			for _, o := range operations() {
				if o.pattern == pattern {
					least = o.least
				}
			}
			if got := allowed(method, u.Path); got != least {
				t.Errorf("%s %q goes to %s, which takes %s, and is judged as %s", method, path, pattern, least, got)
			}
			if inKeyScope(u.Path, "main") && strings.Contains(pattern, "{name}") && !strings.HasPrefix(pattern, method+" "+Root+"/overlays/") {
				t.Errorf("%s %q goes to %s, and a key opens it", method, path, pattern)
			}
		}
	})
}
