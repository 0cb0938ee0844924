// Package datadir is about the folder in which relay keeps its data: its lock, who may write to it, and what lies there.
package datadir

import (
	"fmt"

	"github.com/treatrelay/relay/internal/atomicfile"
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

// WritePrivate replaces a file, or creates it, for its user only. A crash leaves the old content or the new one, see [atomicfile.Write].
func WritePrivate(path string, data []byte) error {
	if err := atomicfile.Write(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
