package auth_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/store"
)

// A token that is refused stays as it is: nothing is renewed, and the login not written off.
func TestTryingIsWithoutConsequences(t *testing.T) {
	w := newWorld(t)
	w.login(t)
	before := w.grant(t)
	if token, err := w.TrySocketToken(t.Context()); err != nil || token.Empty() {
		t.Fatalf("no socket token: %v", err)
	}
	if err := w.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fake.expire()
	_, err := w.TrySocketToken(t.Context())
	w.wantError(t, err, false, "socket token of mystream", "access token refused", "401")
	if !errors.Is(err, auth.ErrRefused) || auth.RefusesClient(err) {
		t.Errorf("%v", err)
	}
	if err := w.Probe(t.Context()); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("%v", err)
	}
	if n := w.fake.count("/refresh"); n != 0 || w.grant(t) != before {
		t.Errorf("%d refreshes, and the grant is %+v", n, w.grant(t))
	}
	w.fake.fault("/socket", says(401, `{"error":"invalid_client"}`))
	if _, err := w.TrySocketToken(t.Context()); !auth.RefusesClient(err) {
		t.Errorf("%v", err)
	}
}

// FindIdentity finds an identity and creates none.
func TestFindIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay", "identity.txt")
	opts := store.IdentityOptions{Fallback: path}
	if _, err := store.FindIdentity(t.Context(), opts); !errors.Is(err, store.ErrNoIdentity) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("its folder was made")
	}
	made, err := store.LoadIdentity(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := store.FindIdentity(t.Context(), opts); err != nil || found.Recipient() != made.Recipient() {
		t.Errorf("found %v: %v", found, err)
	}
}
