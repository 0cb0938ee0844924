package auth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// A token that was issued just now and is refused by the endpoint for socket tokens speaks against the endpoint, whatever the
// words. The grant stays, and the access token is not renewed over and over.
func TestNewTokenIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		renewed int
	}{
		"two 403":          {says(403, `{"message":"Forbidden"}`), 1},
		"an error":         {says(401, `{"error":"nope"}`), 1},
		"a bare 401":       {says(401, ""), 1},
		"named":            {says(401, `{"error":"invalid_token"}`), 1},
		"named in words":   {says(200, `{"error":"Access token expired"}`), 1},
		"Cloudflare's":     {says(403, "error code: 1020"), 0},
		"an empty 403":     {says(403, ""), 0},
		"a page":           {says(401, "<html>", "Content-Type", "text/html"), 0},
		"an empty 400":     {says(400, ""), 0},
		"maintenance":      {says(503, `{"error":"invalid_token"}`), 0},
		"maintenance, 400": {says(400, `{"message":"Server is under maintenance"}`), 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.fake.fault("/socket", c.answer, c.answer, c.answer, c.answer)
			asked := 4 - c.renewed
			for range asked {
				_, err := w.SocketToken(t.Context())
				w.wantError(t, err, false, "socket token of mystream: HTTP ")
				if c.renewed > 0 && !strings.Contains(err.Error(), "a new access token is refused too, so it is the endpoint that does not work") {
					t.Errorf("%v", err)
				}
			}
			if w.fake.count("/refresh") != c.renewed || w.fake.count("/socket") != 4 {
				t.Errorf("%d refreshes, %d requests, want %d and 4", w.fake.count("/refresh"), w.fake.count("/socket"), c.renewed)
			}
			if g := w.grant(t); g.State != grant.Active {
				t.Errorf("state %s (%s)", g.State, g.Reason)
			}
			if got, err := w.SocketToken(t.Context()); err != nil || got.Empty() {
				t.Errorf("when it passed: %v", err)
			}
			// The next refusal is a new one.
			w.fake.expire()
			if got, err := w.SocketToken(t.Context()); err != nil || got.Empty() || w.fake.count("/refresh") != c.renewed+1 {
				t.Errorf("an access token that is over: %v, %d refreshes", err, w.fake.count("/refresh"))
			}
		})
	}
}

// However long the endpoint refuses and however often it is asked, the access token is renewed once an hour at most, and once it
// works again all is well.
func TestEndpointThatRefusesForHours(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 300 {
			w.fake.fault("/socket", says(401, `{"error":"invalid_token"}`), says(401, `{"error":"invalid_token"}`))
		}
		for range 5 * 60 {
			_, err := w.SocketToken(t.Context())
			w.wantError(t, err, false, "it is the endpoint")
			time.Sleep(time.Minute)
		}
		if n := w.fake.count("/refresh"); n < 2 || n > 6 {
			t.Errorf("%d refreshes in five hours, want one an hour", n)
		}
		w.fake.mu.Lock()
		clear(w.fake.faults)
		w.fake.mu.Unlock()
		if got, err := w.SocketToken(t.Context()); err != nil || got.Empty() || w.grant(t).State != grant.Active {
			t.Errorf("when it passed: %v", err)
		}
	})
}

// What cannot be renewed ends by a refusal that names the access token, unless that is new. Nothing else ends it.
func TestSocketTokenWithoutARefreshToken(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		age    time.Duration
		dead   bool
	}{
		"named":         {says(401, `{"error":"access token is not valid"}`), day, true},
		"named and new": {says(401, `{"error":"access token is not valid"}`), 0, false},
		"a bare 401":    {says(401, ""), day, false},
		"a gateway":     {says(403, `{"message":"Forbidden"}`), day, false},
		"Cloudflare":    {says(403, "error code: 1020"), day, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.age(t, c.age)
			g := w.grant(t)
			g.RefreshToken = secret.String{}
			if err := w.store.Save("mystream", g); err != nil {
				t.Fatal(err)
			}
			w.fake.fault("/socket", c.answer, c.answer, c.answer)
			for range 3 {
				_, err := w.SocketToken(t.Context())
				if c.dead {
					w.wantError(t, err, true, "login needed", "gave no refresh token: HTTP 401", "relay auth login mystream")
				} else {
					w.wantError(t, err, false, "HTTP 40")
				}
			}
			want, state := 3, grant.Active
			if c.dead {
				want, state = 1, grant.ReauthorizeNeeded
			}
			if n := w.fake.count("/socket"); n != want || w.fake.count("/refresh") != 0 || w.grant(t).State != state {
				t.Errorf("%d requests, %d refreshes, state %s", n, w.fake.count("/refresh"), w.grant(t).State)
			}
		})
	}
}
