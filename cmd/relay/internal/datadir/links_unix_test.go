//go:build unix

package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A link in the way of the lock and the login, should one have come there later, is not followed.
func TestLinksAreNotFollowed(t *testing.T) {
	aim := filepath.Join(t.TempDir(), "aim")
	dir := t.TempDir()
	for _, name := range []string{LockFile, OverlayFile} {
		if err := os.Symlink(aim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := NewLock(dir).TryLock(); ok || err == nil {
		t.Error("the lock follows a link")
	}
	if _, _, err := LoadOverlayLogin(dir); err == nil || !strings.Contains(err.Error(), OverlayFile) {
		t.Errorf("the login follows a link: %v", err)
	}
}
