package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/secret"
)

// What lies in the data folder.
const (
	lockFile    = "relay.lock"
	journalDir  = "journal"  // of engine file: the log and its state
	indexDir    = "index"    // derived from the journal
	cursorsFile = "cursors"  // the second copy of the lanes' places
	attemptsDir = "attempts" // the log of what the sinks do
	overlayDir  = "nats"     // what the embedded NATS server keeps for overlays
	accountsDir = "accounts"
	overlayFile = "nats-overlay.json"
)

// lockDataDir makes the folder and takes it for this process, until the lock is released or the process ends in
// whatever way. It waits a moment for a command that works in the folder, and not for a relay that runs there.
func lockDataDir(ctx context.Context, dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, exit.With(exit.Unavailable, fmt.Errorf("make the data folder: %w; choose another with --data-dir", err))
	}
	taken := exit.With(exit.Unavailable, fmt.Errorf("another relay runs on the data folder %s; stop it, or give this one its own with --data-dir", dir))
	lock, err := awaitLock(ctx, dir, "correct its permissions or choose another with --data-dir", func() error {
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
	// lockPatience is how long a relay or a command waits for a relay that is starting or stopping, or for another command.
	lockPatience = 5 * time.Second
	lockPoll     = 50 * time.Millisecond
)

// awaitLock takes the lock of a data folder. As long as another process has it, it calls ask, and waits a moment if that returns an [api.ErrNoRelay]: nobody
// answers there. It returns that error when the moment is over. Any other result of ask ends the wait: the error, or nil and no lock. advice is for a
// lock that cannot be taken at all.
func awaitLock(ctx context.Context, dir, advice string, ask func() error) (*flock.Flock, error) {
	lock := newDataLock(dir)
	for deadline := time.Now().Add(lockPatience); ; {
		ok, err := lock.TryLock()
		if err != nil {
			return nil, exit.With(exit.Unavailable, fmt.Errorf("lock the data folder %s: %w; %s", dir, err, advice))
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

// overlayLogin is what overlay backends connect with.
type overlayLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Check is a digest of both, by which damage is noticed; empty in the file of an older relay.
	Check string `json:"check,omitempty"`
}

func (l overlayLogin) digest() string {
	sum := sha256.Sum256([]byte(l.User + "\n" + l.Password))
	return hex.EncodeToString(sum[:8])
}

// loadOverlayLogin reads the overlay backends' credentials from the data folder, or makes them.
func loadOverlayLogin(dir string) (login overlayLogin, created bool, err error) {
	path := filepath.Join(dir, overlayFile)
	data, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		login = overlayLogin{User: "overlay", Password: rand.Text()}
		login.Check = login.digest()
		data, err := json.Marshal(login) //nolint:gosec // it goes into a file for the user only
		if err != nil {
			return login, false, fmt.Errorf("encode the overlay credentials: %w", err)
		}
		return login, true, writePrivate(path, append(data, '\n'))
	}
	login, err = parseOverlayLogin(path, data, err)
	return login, false, err
}

// readOverlayLogin reads the credentials and makes none.
func readOverlayLogin(dir string) (overlayLogin, error) {
	path := filepath.Join(dir, overlayFile)
	data, err := readOwn(path)
	return parseOverlayLogin(path, data, err)
}

// parseOverlayLogin is given what reading the file brought.
func parseOverlayLogin(path string, data []byte, err error) (login overlayLogin, _ error) {
	if err != nil {
		return login, fmt.Errorf("read the overlay credentials: %w", err)
	}
	if err := json.Unmarshal(data, &login); err != nil || login.User == "" || len(login.Password) < 16 ||
		login.Check != "" && login.Check != login.digest() {
		return login, fmt.Errorf("read the overlay credentials: %s is damaged; delete it to have new ones made", path)
	}
	return login, nil
}

func (l overlayLogin) secret() secret.String { return secret.New(l.Password) }

// writePrivate writes a file that is there whole or not at all, for the user only.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
