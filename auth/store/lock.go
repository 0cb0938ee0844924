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
	// identityLockWithin is longer than it takes to make an identity.
	identityLockWithin = 10 * time.Second
)

// Lock waits until nobody else, here or in another process, holds the lock of the account, and takes it: a lock on the file ACCOUNT.lock beside the grant. The system ends it with its process,
// however that dies. The file stays behind, because removing it would let two processes lock two files of one name. It
// holds nothing but the number of the process that locked it last.
func (s *Files) Lock(ctx context.Context, account string) (unlock func(), err error) {
	if !grant.ValidAccount(account) {
		return nil, fmt.Errorf("lock grant: %q is not the name of an account", account)
	}
	return lockFile(ctx, filepath.Join(s.dir, account+lockSuffix))
}

// lockFile waits for the exclusive lock on path. When ctx ends first, the error says who holds it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	lock := flock.New(path, flock.SetPermissions(0o600))
	if locked, err := lock.TryLockContext(ctx, lockPoll); err != nil || !locked {
		if ctx.Err() == nil {
			if inner, ok := errors.AsType[*fs.PathError](err); ok {
				err = inner.Err // The path stands in the text already.
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("lock %s, held by %s: %w", path, holder(path), context.Cause(ctx))
	}
	// For the error of somebody who waits in vain; nothing else depends on it, and Windows does not allow it.
	_ = os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return func() { _ = lock.Unlock() }, nil
}

// holder tells who locked path, as far as that is known.
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
