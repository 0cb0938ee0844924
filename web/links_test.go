package web

import (
	"net/http"
	"testing"

	"github.com/treatrelay/relay/web/session"
)

// The API makes links for the session that asks, so that they end with its password.
func TestAPIKnowsTheSession(t *testing.T) {
	cfg := config(t)
	cfg.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cfg.Sessions.EndAll()
		_, err := cfg.Sessions.NewLinkBy(r.Context(), session.Owner)
		if err == nil {
			t.Error("a session that has ended gets a link")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s := serve(t, cfg)
	if got := s.do(http.MethodPost, "/api/v1/replay", "{}", s.as(session.Owner)); got.StatusCode != http.StatusNoContent {
		t.Errorf("status %d: %s", got.StatusCode, got.body)
	}
}
