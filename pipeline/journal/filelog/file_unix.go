//go:build unix

package filelog

import (
	"fmt"
	"os"
	"syscall"
)

// openFile opens a file of the log. It does not follow a symbolic link.
func openFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // paths are made of the folder and numbers
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the log's own folder
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// lockFile makes sure that only one process writes.
func lockFile(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes to %s: %w", f.Name(), err)
	}
	return nil
}

// unlockFile ends the lock, also if a process that is being started has inherited the file for a moment.
func unlockFile(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // it ends with the process at the latest
}
