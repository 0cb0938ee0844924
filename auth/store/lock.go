package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/treatrelay/relay/auth/grant"
)

const (
	lockSuffix = ".lock"
	lockPoll   = 20 * time.Millisecond
	// identityLockWithin is longer than creating an identity takes.
	identityLockWithin = 10 * time.Second
)

// Lock waits for the exclusive lock of an account, across goroutines and processes, and takes it. It is a lock on the
// file ACCOUNT.lock next to the grant, which the system releases when the process ends in any way. The file stays,
// because if it were removed, two processes could lock two files of the same name. It only has the ID of the process
// that locked it last.
func (f *Files) Lock(ctx context.Context, account string) (unlock func(), err error) {
	if !grant.ValidAccount(account) {
		return nil, fmt.Errorf("lock grant: %q is not the name of an account", account)
	}
	return lockFile(ctx, filepath.Join(f.dir, account+lockSuffix))
}

// lockFile waits for the exclusive lock on path. If ctx ends first, the error names the process that holds it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	lock := flock.New(path, flock.SetPermissions(0o600))
	if locked, err := lock.TryLockContext(ctx, lockPoll); err != nil || !locked {
		if ctx.Err() == nil {
			if inner, ok := errors.AsType[*fs.PathError](err); ok {
				err = inner.Err // the text has the path already
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("lock %s, held by %s: %w", path, holder(path), context.Cause(ctx))
	}
	// Only for the error of a process that waits in vain. Windows does not allow it.
	_ = os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return func() { _ = lock.Unlock() }, nil
}

// holder describes the process that locked path, as far as known.
func holder(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // The path of a lock of our own.
	if err != nil {
		return "another process"
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return "another process"
	}
	text := "process " + strconv.Itoa(pid)
	if info, err := os.Stat(path); err == nil {
		text += " since " + info.ModTime().UTC().Format(time.RFC3339)
	}
	return text
}
