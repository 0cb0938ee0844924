//go:build unix

package filelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// lockPatience is how long a process that was killed may take to let go of its files.
	lockPatience = 2 * time.Second
	lockPoll     = 10 * time.Millisecond
)

// lockFile makes sure that only one process writes.
func lockFile(ctx context.Context, f *os.File) error {
	for deadline := time.Now().Add(lockPatience); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		waits := errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
		if !waits || time.Now().After(deadline) {
			return fmt.Errorf("another process writes to %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// unlockFile ends the lock, also if a process that is being started has inherited the file for a moment.
func unlockFile(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // it ends with the process at the latest
}
