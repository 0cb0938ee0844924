package session

import (
	"net/http"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
)

// Two relays on one host have one set of cookies in the browser.
func TestCookiesOfTwoPorts(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8350/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(Cookie("127.0.0.1:8350", secret.New("real"), false))
	r.AddCookie(Cookie("127.0.0.1:41234", secret.New("simulated"), false))
	for host, want := range map[string]string{"127.0.0.1:8350": "real", "127.0.0.1:41234": "simulated", "127.0.0.1:1": "", "127.0.0.1": "", "a:b;c": ""} {
		if r.Host = host; Token(r) != want {
			t.Errorf("on %s the token is %q, want %q", host, Token(r), want)
		}
	}
	for host, want := range map[string]string{"relay.example.com": "relay_session", "[::1]:8350": "relay_session_8350", "[::1]": "relay_session"} {
		if got := CookieName(host); got != want || NoCookie(host, true).Name != want {
			t.Errorf("on %s the cookie is %s, want %s", host, got, want)
		}
	}
}
