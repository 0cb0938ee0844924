package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
)

// due is an account of one of the providers, whose token is due for renewal and still valid.
type due struct {
	*world
	fault func(http.HandlerFunc) // answers the next request, which is the renewal
	again func() *auth.Account
}

// dueAtEach gives a due account of each.
func dueAtEach() map[string]func(t *testing.T) due {
	standIn := func(t *testing.T, s *standIn, age time.Duration) due {
		s.age(t, age)
		return due{s.world, func(h http.HandlerFunc) { s.then(h) }, s.again}
	}
	return map[string]func(t *testing.T) due{
		"treatstream": func(t *testing.T) due {
			w := newWorld(t)
			w.login(t)
			w.age(t, 28*day)
			return due{w, func(h http.HandlerFunc) { w.fake.fault("/refresh", h) }, func() *auth.Account { return w.account(t, w.store, nil) }}
		},
		"treesnap": func(t *testing.T) due {
			f := newTreeSnap(t)
			f.imported(t)
			return standIn(t, f.standIn, 340*day)
		},
		"camstreamer": func(t *testing.T) due {
			f := newCamStreamer(t, nil)
			f.login(t)
			return standIn(t, f.standIn, 55*time.Minute)
		},
		"client-credentials": func(t *testing.T) due {
			f := newPartner(t, nil)
			f.token(t)
			return standIn(t, f, 57*time.Minute)
		},
	}
}

// gatewayAnswers are of whatever stands before a provider, or of a provider in trouble. None of them is about a grant.
func gatewayAnswers() map[string]http.HandlerFunc {
	html := []string{"Content-Type", "text/html; charset=utf-8"}
	js := []string{"Content-Type", "application/json; charset=utf-8"}
	all := map[string]http.HandlerFunc{
		"Cloudflare's 1020":                 says(403, "error code: 1020", "Content-Type", "text/plain; charset=UTF-8"),
		"400 page":                          says(400, "<html><body>Bad Request</body></html>", html...),
		"401 page":                          says(401, "<html><body>Unauthorized</body></html>", html...),
		"403 page":                          says(403, "<!DOCTYPE html><title>Attention Required!</title>", html...),
		"400 without a body":                says(400, ""),
		"401 without a body":                says(401, ""),
		"403 without a body":                says(403, ""),
		"401 in plain words":                says(401, "Unauthorized"),
		"403 that names the token, no JSON": says(403, "invalid_token"),
		"a gateway's 403":                   says(403, `{"message":"Forbidden"}`, js...),
		"a gateway's 401":                   says(401, `{"message":"Unauthorized"}`, js...),
		"a gateway's 403 with an error":     says(403, `{"error":"access_denied"}`, js...),
		"maintenance in a 400":              says(400, `{"message":"Server is under maintenance"}`, js...),
		"an outage in a 200":                says(200, `{"error":"Token database is unavailable: unknown host"}`),
		"another outage in a 200":           says(200, `{"error":"Invalid token, try again later"}`),
		"a firewall's token":                says(403, `{"error":"Invalid CSRF token"}`, js...),
		"a parser's token":                  says(400, `{"error":"Unexpected token < in JSON at position 0"}`, js...),
		"a token that is wanted":            says(401, `{"error":"Unauthorized: token required"}`, js...),
		"an unknown error about the token":  says(400, `{"error":"Unknown error while reading the token"}`, js...),
		"a proxy that wants a login":        says(407, `{"error":"invalid_token"}`, js...),
		"throttled, whatever it says":       says(429, `{"error":"invalid_grant"}`, js...),
		"a server error, whatever it says":  says(500, `{"error":"invalid_grant"}`, js...),
		"busy in a 400":                     says(400, `{"error":"temporarily_unavailable"}`, js...),
		"truncated":                         says(400, `{"error":"invalid_grant"`, js...),
		"truncated around an object":        says(400, `{"errors":{"error":"invalid_grant"},"me`, js...),
		"truncated behind a notice":         says(400, `Notice: x {"errors":{"error":"invalid_grant"},"me`, html...),
		"a list":                            says(400, `[{"error":"invalid_grant"}]`, js...),
		"a list, indented":                  says(403, "[\n  {\"error\": \"invalid_grant\"}\n]", js...),
		"a list that begins with null":      says(401, `[ null, {"error":"invalid_token"} ]`, js...),
		"a database by its name":            says(400, `{"error":"Bad token: MySQL server has gone away"}`, js...),
		"a connection of the API":           says(400, `{"error":"Token not found: connect ECONNREFUSED 10.0.0.1:5432"}`, js...),
		"a cache":                           says(401, `{"error":"Redis: token not found on shard 3"}`, js...),
		"a clock that is behind":            says(401, `{"error":"The token is not valid yet"}`, js...),
		"a table of the API":                says(200, `{"error":"Invalid token table"}`, js...),
		"an error of unknown kind":          says(400, `{"error":"Unknown token error"}`, js...),
		"a request that a gateway refuses":  says(400, `{"error":"invalid_request"}`, js...),
		"a text":                            says(401, `"invalid_grant"`, js...),
		"null":                              says(401, `null`, js...),
		"empty":                             says(401, `{}`, js...),
		"a code in another shape":           says(400, `{"errors":[{"code":"invalid_grant"}]}`, js...),
		"a page with a script":              says(400, `<html><script>var state = {"error":"invalid_grant"}</script></html>`, html...),
		"a captive portal":                  says(200, "<html><body>Welcome to the WiFi. Log in.</body></html>", html...),
		"a captive portal's redirect":       says(302, "", "Location", "http://portal.example/login"),
		"a captive portal by the book":      says(511, "<html>Log in</html>", html...),
		"a page with a token in a 200":      says(200, `<html><script>{"access_token":"canary"}</script></html>`, html...),
		"nothing in a 200":                  says(200, ""),
		"nothing in a 204":                  says(204, ""),
		"a list in a 200":                   says(200, `[{"access_token":"canary"}]`, js...),
		"a truncated token":                 says(200, `{"access_token":"canary`, js...),
		"an unavailable service in a 418":   says(418, `{"error":"short and stout"}`, js...),
		"a legal block":                     says(451, "<html>blocked</html>", html...),
		"a host that is not set up":         says(421, "Misdirected Request"),
		"a method that is not allowed":      says(405, `{"message":"Method Not Allowed"}`, js...),
	}
	for status := 520; status <= 530; status++ {
		all[fmt.Sprintf("Cloudflare's %d", status)] = says(status, fmt.Sprintf("<html><title>%d: Web server is down</title></html>", status), html...)
	}
	return all
}

// A gateway's answer never ends a login. It is an outage: said once, the valid token keeps serving, and the next
// request is free to work.
func TestGatewayAnswers(t *testing.T) {
	for provider, newDue := range dueAtEach() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			d := newDue(t)
			before := d.grant(t)
			for name, answer := range gatewayAnswers() {
				d.Account = d.again() // Without the backoff.
				said := d.log.String()
				d.fault(answer)
				for range 3 {
					if got := d.token(t); got.AccessToken != before.AccessToken {
						t.Errorf("%s: another token is served", name)
					}
				}
				_, err := d.Refresh(t.Context(), before.Generation)
				d.wantError(t, err, false, "next attempt in", "HTTP ")
				if n := strings.Count(strings.TrimPrefix(d.log.String(), said), "cannot be refreshed"); n != 1 {
					t.Errorf("%s: said %d times, want once", name, n)
				}
				g := d.grant(t)
				if s, err := d.Status(); err != nil || s.State != g.State || g.State != grant.Active && g.State != grant.RefreshOutcomeUnknown {
					t.Errorf("%s: %+v, %v", name, s, err)
				}
				if err := d.store.Save("mystream", before); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := d.again().Refresh(t.Context(), before.Generation); err != nil || got.Generation != 2 {
				t.Errorf("afterwards: generation %d, %v", got.Generation, err)
			}
		})
	}
}

// What names the grant in JSON ends it at once, at each provider that has grants.
func TestNamedRefusals(t *testing.T) {
	for provider, newDue := range dueAtEach() {
		for name, answer := range map[string]http.HandlerFunc{
			"by the RFC":      says(400, `{"error":"invalid_grant"}`),
			"in a 403":        says(403, `{"error":"invalid_grant","error_description":"Token has been revoked."}`),
			"bad":             says(200, `{"error":"Bad refresh token"}`),
			"not found":       says(404, `{"error":"Tokens not found","code":1000}`),
			"expired":         says(401, `{"message":"Access token expired"}`),
			"does not exist":  says(401, `{"error":{"code":17,"message":"The provided token doesn't exist"}}`),
			"behind a notice": says(400, "<br />\n<b>Notice</b>: Undefined {x}<br />\n"+`{"error":"invalid_grant"}<!-- 7 ms -->`, "Content-Type", "text/html"),
		} {
			if provider == "client-credentials" {
				continue // It has none.
			}
			t.Run(provider+" "+name, func(t *testing.T) {
				d := newDue(t)
				d.fault(answer)
				_, err := d.Token(t.Context())
				d.wantError(t, err, true, "login needed", "refused the refresh token")
				if g := d.grant(t); g.State != grant.ReauthorizeNeeded {
					t.Errorf("state %s", g.State)
				}
				if s, err := d.Status(); err != nil || !s.Expiry.IsZero() || !s.RefreshExpiry.IsZero() || s.Fix.Empty() {
					t.Errorf("an ended login has no time left: %+v, %v", s, err)
				}
			})
		}
	}
}
