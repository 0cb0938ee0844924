// Package datadir is about the folder in which relay keeps its data: its lock, who may write to it, and what lies there.
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What lies in the data folder.
const (
	LockFile    = "relay.lock"
	JournalDir  = "journal"  // of engine file: the log and its state
	IndexDir    = "index"    // derived from the journal
	CursorsFile = "cursors"  // the second copy of the lanes' places
	AttemptsDir = "attempts" // the log of what the sinks do
	OverlayDir  = "nats"     // what the embedded NATS server keeps for overlays
	AccountsDir = "accounts"
	OverlayFile = "nats-overlay.json"
)

// WritePrivate writes a file that is there whole or not at all, for the user only.
func WritePrivate(path string, data []byte) error {
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
