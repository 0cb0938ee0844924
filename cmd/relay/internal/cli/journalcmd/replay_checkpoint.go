package journalcmd

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A checkpoint is how far a replay is. Numbers are those of the journal.
type checkpoint struct {
	run  string // identifies the replay, so that no event is sent twice in it
	last uint64 // the last number of the replay; 0 if it has not started
	done uint64 // the number up to which events are sent
}

// String returns the value of --resume.
func (c checkpoint) String() string { return fmt.Sprintf("%s-%d-%d", c.run, c.last, c.done) }

// parseCheckpoint parses the value of --resume. An empty one is the start of a new replay.
func parseCheckpoint(value string) (c checkpoint, err error) {
	if value == "" {
		var run [8]byte
		_, _ = rand.Read(run[:]) // never fails
		return checkpoint{run: hex.EncodeToString(run[:])}, nil
	}
	m := regexp.MustCompile(`^([0-9a-f]{16})-([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$`).FindStringSubmatch(value)
	if m == nil {
		return c, exit.Usagef("--resume %q: want the value that the interrupted replay printed", value)
	}
	c.run = m[1]
	c.last, _ = strconv.ParseUint(m[2], 10, 64) // 19 digits always fit
	c.done, _ = strconv.ParseUint(m[3], 10, 64)
	return c, nil
}
