package datadir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Lock creates the data folder if needed, and locks it until the lock is closed or the process ends. It waits a few seconds for a command that holds
// the lock, but not for a running relay.
func Lock(ctx context.Context, dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("make the data folder: %w", err), Fix: advice.Do("choose another with --data-dir"),
		})
	}
	taken := exit.With(exit.Unavailable, &advice.Error{
		Err: fmt.Errorf("another relay runs on the data folder %s", dir), Fix: advice.Do("stop it, or give this one its own with --data-dir"),
	})
	lock, err := awaitLock(ctx, dir, advice.Do("correct its permissions or choose another with --data-dir"), func() error {
		conn, err := api.Dial(ctx, dir)
		if err == nil {
			err = conn.Close()
		}
		if errors.Is(err, api.ErrNoRelay) {
			return err
		}
		return taken
	})
	if errors.Is(err, api.ErrNoRelay) {
		err = taken
	}
	return lock, err
}

const (
	// lockPatience is how long Lock and commands wait for a relay that is starting or stopping, or for another command.
	lockPatience = 5 * time.Second
	lockPoll     = 50 * time.Millisecond
)

// awaitLock takes the lock of a data folder. While another process holds it, awaitLock calls ask, which returns an [api.ErrNoRelay] if no relay answers
// there; then it tries again until lockPatience is over, and returns that error. Any other result of ask ends the wait: the error, or nil and no lock.
// fix is what to do if the lock file cannot be locked at all.
func awaitLock(ctx context.Context, dir string, fix advice.Fix, ask func() error) (*flock.Flock, error) {
	lock := NewLock(dir)
	for deadline := time.Now().Add(lockPatience); ; {
		ok, err := lock.TryLock()
		if err != nil {
			return nil, exit.With(exit.Unavailable, &advice.Error{Err: fmt.Errorf("lock the data folder %s: %w", dir, err), Fix: fix})
		}
		if ok {
			return lock, nil
		}
		if err := ask(); !errors.Is(err, api.ErrNoRelay) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// NewLock returns the lock of a data folder, not locked yet.
func NewLock(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, LockFile), flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow))
}
