package auth_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// Each login has its own mark, which refreshes keep. Its time is that of the first login that nobody adopted.
func TestLoginMark(t *testing.T) {
	w := newWorld(t)
	before := time.Now().Truncate(time.Second)
	w.login(t)
	first := w.grant(t).Login
	if first.ID == "" || first.Adopted || first.At.Before(before) || first.At.After(time.Now()) {
		t.Fatalf("%+v", first)
	}
	if token, err := w.Refresh(t.Context(), 0); err != nil || token.Login != first || w.grant(t).Login != first {
		t.Errorf("after a refresh: %+v, %v", token.Login, err)
	}
	past := w.grant(t)
	past.Login.At = past.Login.At.Add(-time.Hour)
	if err := w.store.Save("mystream", past); err != nil {
		t.Fatal(err)
	}
	w.login(t)
	second := w.grant(t).Login
	if second.ID == first.ID || !second.At.Equal(past.Login.At) {
		t.Errorf("another login before anybody took the first one over: %+v", second)
	}
	if err := w.AdoptLogin(t.Context(), first.ID); err != nil || w.grant(t).Login.Adopted {
		t.Errorf("a login of the past is taken over: %v", err)
	}
	generation := w.grant(t).Generation
	for range 2 {
		if err := w.AdoptLogin(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
	}
	if g := w.grant(t); !g.Login.Adopted || g.Generation != generation || g.State != grant.Active {
		t.Errorf("taken over: %+v", g)
	}
	if got, err := w.LoginMark(); err != nil || got.ID != second.ID || !got.Adopted {
		t.Errorf("%+v, %v", got, err)
	}
	w.login(t)
	if third := w.grant(t).Login; third.Adopted || third.At.Before(before) {
		t.Errorf("another login after that: %+v", third)
	}
}

// The moment of a login is by the provider's clock.
func TestLoginMarkByTheProvidersClock(t *testing.T) {
	date := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	s := newStandIn(t, "treatstream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, `{"access_token":"access-1","refresh_token":"refresh-1","expires_in":3600}`)
	}, nil)
	if err := s.Exchange(t.Context(), secret.New("code"), redirectURL); err != nil {
		t.Fatal(err)
	}
	if got := s.grant(t); !got.Login.At.Equal(date) || time.Since(got.ObtainedAt) > time.Hour {
		t.Errorf("login %+v, token obtained at %v; the provider says %v", got.Login, got.ObtainedAt, date)
	}
}
