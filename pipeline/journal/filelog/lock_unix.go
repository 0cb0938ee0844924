//go:build unix

package filelog

import (
	"fmt"
	"os"
	"syscall"
)

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
