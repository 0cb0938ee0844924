package auth_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// An unreadable grant cannot be revoked, so a logout does not silently delete it.
func TestLogoutOfADamagedStore(t *testing.T) {
	f := newCamStreamer(t, nil)
	f.login(t)
	path := filepath.Join(f.dir, "mystream.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.wantError(t, f.Logout(t.Context()), true, "log out mystream: the stored login cannot be read (", "damaged",
		"), so nothing can be revoked; relay auth logout --force mystream forgets it")
	if _, err := os.Stat(path); err != nil || len(f.seen("/revoke")) != 0 {
		t.Errorf("%v, %d requests", err, len(f.seen("/revoke")))
	}
	if err := f.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := f.Token(t.Context())
	f.wantError(t, err, true, "not logged in")
}

// The advice is of the account's provider; a mode has advice of its own.
func TestUnusableGrantAdvice(t *testing.T) {
	f := newTreeSnap(t)
	f.imported(t)
	path := filepath.Join(f.dir, "mystream.json")
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := f.Token(t.Context())
		f.wantError(t, err, true, "run: chmod 600 "+path)
		if strings.Contains(err.Error(), "relay auth") {
			t.Errorf("%v: two pieces of advice", err)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := f.Token(t.Context())
	f.wantError(t, err, true, "stored grant not usable", "run: relay auth import mystream")
	if strings.Contains(err.Error(), "login mystream") {
		t.Errorf("%v", err)
	}
	f.imported(t)
	f.token(t)
}

// A damaged file is an error for every caller, and a login replaces it.
func TestLoginReplacesADamagedGrant(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "mystream.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := w.Token(t.Context())
	w.wantError(t, err, true, "stored grant not usable", "mystream.json", "relay auth login mystream")
	w.login(t)
	w.token(t)
}
