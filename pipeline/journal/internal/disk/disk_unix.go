//go:build unix

package disk

import (
	"fmt"
	"os"
	"syscall"
)

// OpenFile opens a file of the journal, readable for its user only if it is made. It does not follow a symbolic link.
func OpenFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // paths are made of the folder and names of ours
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the journal's own folder
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
