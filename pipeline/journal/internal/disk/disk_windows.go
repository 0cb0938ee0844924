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
	return os.OpenFile(path, flag, 0o600) //nolint:gosec // paths are made of the folder and names of ours
}

// SyncDir does nothing: Windows keeps no folder back.
func SyncDir(string) error { return nil }
