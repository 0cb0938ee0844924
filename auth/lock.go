package auth

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
)

const (
	lockSuffix = ".lock"
	lockPoll   = 20 * time.Millisecond
	// lockWithin is longer than any holder needs that is well: a probe, a refresh, a request for the end of the grant
	// and some disk.
	lockWithin = 3*answerWithin + 5*time.Second
	// lockBriefly is for those who have a valid token to go on with.
	lockBriefly = 10 * time.Second
)

// Lock implements [Store] with a lock on the file ACCOUNT.lock beside the grant. The system ends it with its process,
// however that dies. The file stays behind, because removing it would let two processes lock two files of one name. It
// holds nothing but the number of the process that locked it last.
func (s *FileStore) Lock(ctx context.Context, account string) (unlock func(), err error) {
	if !validName(account) {
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

// enter waits for the turn of the caller in this process, who must call the returned function when done.
func (a *Account) enter(ctx context.Context, op string) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, a.fail(op, context.Cause(ctx))
	}
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, a.fail(op, fmt.Errorf("%w while another request for the same account is under way", context.Cause(ctx)))
	}
}

// take waits for the turn of the caller in this process and then among all processes. Whoever changes the grant, or sends
// what may change it, must have called this or renewUnless.
func (a *Account) take(ctx context.Context, op string) (release func(), err error) {
	leave, err := a.enter(ctx, op)
	if err != nil {
		return nil, err
	}
	unlock, err := a.lock(ctx, op, lockWithin)
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		unlock()
		leave()
	}, nil
}

// lock takes the lock of the store, for at most as long as patience. What was read before must be read again. Its error is
// an *Error.
func (a *Account) lock(ctx context.Context, op string, patience time.Duration) (unlock func(), err error) {
	limited, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not released within %s", patience))
	defer cancel()
	unlock, err = a.store.Lock(limited, a.name)
	if err == nil {
		return unlock, nil
	}
	e := a.fail(op, err)
	if limited.Err() != nil && ctx.Err() == nil {
		e.Fix = "if that process hangs, end it"
	}
	return nil, e
}
