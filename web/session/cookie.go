package session

import (
	"net/http"

	"github.com/treatrelay/relay/internal/secret"
)

// CookieName is the name of the cookie with the token of a session.
const CookieName = "relay_session"

// Cookie returns the cookie of a session. Scripts cannot read it, and requests that other sites start do not have it. With encrypted, the browser
// sends it over TLS only.
func Cookie(token secret.String, encrypted bool) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // A relay on loopback has no TLS, and a browser would not send the cookie then.
		Name: CookieName, Value: token.Reveal(), Path: "/", MaxAge: int(Lifetime.Seconds()),
		HttpOnly: true, Secure: encrypted, SameSite: http.SameSiteStrictMode,
	}
}

// NoCookie returns the cookie that makes the browser forget that of a session.
func NoCookie(encrypted bool) *http.Cookie {
	forget := Cookie(secret.String{}, encrypted) //nolint:gosec // It has the attributes of the other.
	forget.MaxAge = -1
	return forget
}

// Token returns the token that a request has in its cookie, or an empty one.
func Token(r *http.Request) string {
	c, err := r.Cookie(CookieName)
	if err != nil {
		return ""
	}
	return c.Value
}
