//go:build unix

package filelog

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A process that was killed lets go of its files one after the other: the lock is waited for a moment, and no longer.
func TestLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	other, mine := open(), open()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := lockFile(t.Context(), mine); err == nil {
			t.Fatal("two have the lock")
		} else if waited := time.Since(begin); waited < lockPatience || waited > lockPatience+lockPoll {
			t.Errorf("waited for %v", waited)
		}
		time.AfterFunc(lockPatience/2, func() { unlockFile(other) })
		if err := lockFile(t.Context(), mine); err != nil {
			t.Error(err)
		}
	})
}
