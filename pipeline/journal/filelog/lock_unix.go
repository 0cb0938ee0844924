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
	// lockPatience is how long to wait for a killed process to release its lock.
	lockPatience = 2 * time.Second
	lockPoll     = 10 * time.Millisecond
)

// lockFile takes the lock that only one writing process can hold.
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

// unlockFile releases the lock, even if a child process that is just starting has inherited the file.
func unlockFile(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // the end of the process releases it too
}
