package auth_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
)

func TestSocketToken(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	one, err := w.SocketToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.SocketToken(t.Context())
	if err != nil || one == two || one.Empty() || two.Empty() {
		t.Errorf("two calls gave the same token, or none: %v", err)
	}
	if n := w.fake.count("/refresh"); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
}

func TestSocketTokenRefused(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"401":               nil, // The provider's own.
		"403":               says(403, `{}`),
		"said in a 400":     says(400, `{"error":"invalid_token"}`),
		"said in a 200":     says(200, `{"status":false,"message":"Access token expired"}`),
		"said in a 404":     says(404, `{"message":"Token not found"}`),
		"401 without words": says(401, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(t)
			w.fake.expire()
			if answer != nil {
				w.fake.fault("/socket", answer)
			}
			if got, err := w.SocketToken(t.Context()); err != nil || got.Empty() {
				t.Fatalf("%v", err)
			}
			if w.fake.count("/refresh") != 1 || w.fake.count("/socket") != 2 {
				t.Errorf("%d refreshes, %d requests, want 1 and 2", w.fake.count("/refresh"), w.fake.count("/socket"))
			}
		})
	}
	t.Run("and the refresh too", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.fake.revoke()
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, true, "login needed", "refused the refresh token")
	})
	t.Run("and the refresh fails for now", func(t *testing.T) {
		w := newWorld(t)
		w.login(t)
		w.fake.expire()
		w.fake.fault("/refresh", says(500, ""))
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, false, "HTTP 500")
	})
}

func TestSocketTokenOutage(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	for _, answer := range []http.HandlerFunc{
		says(500, ""), says(200, "<html>"), says(200, `{"socket_token":null}`), says(200, `{}`), says(403, "<html>blocked"), reset,
		says(404, ""),
	} {
		w.fake.fault("/socket", answer)
		_, err := w.SocketToken(t.Context())
		w.wantError(t, err, false, "socket token of mystream")
	}
	w.fake.fault("/socket", says(429, "", "Retry-After", "90"))
	_, err := w.SocketToken(t.Context())
	w.wantError(t, err, false, "HTTP 429", "not before 1m30s")
	if e, _ := errors.AsType[*auth.Error](err); time.Until(e.RetryAt) < 80*time.Second {
		t.Errorf("RetryAt %s", e.RetryAt)
	}
	if n := w.fake.count("/refresh"); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
}
