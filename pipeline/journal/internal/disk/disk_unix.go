//go:build unix

package disk

import (
	"fmt"
	"os"
	"syscall"
)

// OpenFile opens a file of the journal. A new file is readable for its user only. It does not follow a symbolic link.
func OpenFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // the path is one of the journal's
}

// SyncDir makes the directory entries of a folder durable.
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
