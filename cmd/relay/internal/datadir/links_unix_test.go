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

// Operators may put links into the folder of an overlay, and let others write to it. Elsewhere neither is accepted.
func TestFoldersOfOverlaysAreLeftOut(t *testing.T) {
	dir, pictures := t.TempDir(), filepath.Join(t.TempDir(), "pictures")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := func(folder string) {
		t.Helper()
		must(os.MkdirAll(folder, 0o700))
		must(os.Symlink(filepath.Join(pictures, "pizza.png"), filepath.Join(folder, "link.png")))
		must(os.Symlink(pictures, filepath.Join(folder, "more")))
		must(os.Chmod(folder, 0o775)) // as with the umask of many systems
	}
	must(os.Mkdir(pictures, 0o700))
	must(os.Chmod(pictures, 0o775))
	fill(filepath.Join(dir, OverlaysDir, "main"))
	must(os.Chmod(filepath.Join(dir, OverlaysDir), 0o775))
	for _, check := range []func(string) error{Check, CheckTree} {
		must(check(dir))
	}
	fill(filepath.Join(dir, JournalDir, OverlaysDir))
	if err := CheckTree(dir); err == nil {
		t.Error("a folder of that name elsewhere is left out too")
	}
}
