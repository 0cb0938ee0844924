package disk

import (
	"fmt"
	"os"
)

// OpenFile opens a file of the journal. It does not follow a symbolic link.
func OpenFile(path string, flag int) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: it is not a regular file", path)
	}
	return os.OpenFile(path, flag, 0o600) //nolint:gosec // the path is one of the journal's
}

// SyncDir does nothing: Windows has no way to sync a folder.
func SyncDir(string) error { return nil }
