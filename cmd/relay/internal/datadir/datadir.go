// Package datadir manages the data folder: its lock, its permissions, and the journal in it or on its server.
package datadir

import (
	"fmt"

	"github.com/treatrelay/relay/internal/atomicfile"
)

// Names in the data folder.
const (
	LockFile     = "relay.lock"
	JournalDir   = "journal"  // log and state of engine file
	IndexDir     = "index"    // derived from the journal
	CursorsFile  = "cursors"  // the second copy of the lanes' cursors
	AttemptsDir  = "attempts" // the log of delivery attempts
	OverlayDir   = "nats"     // streams of the embedded NATS server, for overlays
	AccountsDir  = "accounts"
	OverlayFile  = "nats-overlay.json"
	SessionsFile = "sessions.json" // who is logged in to the dashboard
	OverlaysDir  = "overlays"      // files of the overlays' pages, from the user
)

// WritePrivate replaces a file, or creates it, for its user only. A crash leaves the old content or the new one, see [atomicfile.Write].
func WritePrivate(path string, data []byte) error {
	if err := atomicfile.Write(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
