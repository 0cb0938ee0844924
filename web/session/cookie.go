package session

import (
	"net"
	"net/http"
	"strings"

	"github.com/treatrelay/relay/internal/secret"
)

// CookieName returns the name of the cookie with the token of a session, for requests with this Host header. It has the port: a browser keeps one set
// of cookies for all ports of a host, and several relays may run there.
func CookieName(host string) string {
	const name = "relay_session"
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" && strings.Trim(port, "0123456789") == "" {
		return name + "_" + port
	}
	return name
}

// Cookie returns the cookie of a session, for an answer to a request with this Host header. Scripts cannot read it, and requests that other sites start
// do not have it. With encrypted, the browser sends it over TLS only.
func Cookie(host string, token secret.String, encrypted bool) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // A relay on loopback has no TLS, and a browser would not send the cookie then.
		Name: CookieName(host), Value: token.Reveal(), Path: "/", MaxAge: int(Lifetime.Seconds()),
		HttpOnly: true, Secure: encrypted, SameSite: http.SameSiteStrictMode,
	}
}

// NoCookie returns the cookie that makes the browser forget that of a session.
func NoCookie(host string, encrypted bool) *http.Cookie {
	forget := Cookie(host, secret.String{}, encrypted) //nolint:gosec // It has the attributes of the other.
	forget.MaxAge = -1
	return forget
}

// Token returns the token that a request has in its cookie, or an empty one.
func Token(r *http.Request) string {
	c, err := r.Cookie(CookieName(r.Host))
	if err != nil {
		return ""
	}
	return c.Value
}
