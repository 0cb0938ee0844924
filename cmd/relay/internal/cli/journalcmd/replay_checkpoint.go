package journalcmd

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A checkpoint is where a replay stands: which run it is, the number in the journal up to which it has come, and that of its end. The
// run names what it sends, so that nothing is sent twice in one run.
type checkpoint struct {
	run        string
	last, done uint64
}

func (a checkpoint) String() string { return fmt.Sprintf("%s-%d-%d", a.run, a.last, a.done) }

var validCheckpoint = regexp.MustCompile(`^([0-9a-f]{16})-([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$`)

// parseCheckpoint reads what --resume says. Without that it is the start of a new run.
func parseCheckpoint(text string) (at checkpoint, err error) {
	if text == "" {
		var run [8]byte
		_, _ = rand.Read(run[:]) // never fails
		return checkpoint{run: hex.EncodeToString(run[:])}, nil
	}
	m := validCheckpoint.FindStringSubmatch(text)
	if m == nil {
		return at, exit.Usagef("--resume %q: want what the replay that was cut off has printed", text)
	}
	at.run = m[1]
	at.last, _ = strconv.ParseUint(m[2], 10, 64) // so many digits always fit
	at.done, _ = strconv.ParseUint(m[3], 10, 64)
	return at, nil
}
