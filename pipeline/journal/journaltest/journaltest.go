// Package journaltest is the conformance suite of the journal's engines. It tests the contracts of [journal.Log] and
// [journal.State] on a real engine with real faults: kill -9, power cuts, full disks, damage, restored backups. It names
// no engine. An engine's tests describe it with [LogEngine] and [StateEngine], and call [Log] and [State]; start reading
// there.
//
// Some tests run the test binary again as a child process, which they kill. RELAY_TEST_KILLS sets how often (default
// 20), and RELAY_TEST_POWER_CUTS how often the power is cut (default 3).
package journaltest

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/treatrelay/relay/pipeline/journal"
)

// LogEngine describes a log and the faults that can be applied to it. A location identifies a log, also for a child
// process: a folder, the address of a server, or whatever Open takes. Optional functions may be nil; the tests that need
// them are skipped.
type LogEngine struct {
	// NewLocation returns the location of a new, empty log that exists until the test ends.
	NewLocation func(t *testing.T) string
	// Open opens the log at a location for writing.
	Open func(ctx context.Context, place string) (journal.Log, error)

	// Largest is a size of data in bytes that an entry may always have.
	Largest int
	// InFolder means that a location is a folder with the whole log. Such logs are also tested on a disk that is full or
	// loses power.
	InFolder bool

	// Optional: Reader opens the log at a location for reading while another process writes it.
	Reader func(ctx context.Context, place string) (journal.Log, error)
	// ReaderAppends means that the result of Reader may append between the writes of the other process.
	ReaderAppends bool
	// Optional: Snapshot saves a closed log. The returned function restores it, as from a backup.
	Snapshot func(t *testing.T, place string) (restore func())
	// Optional: Damage changes a byte of a record of a closed log.
	Damage func(t *testing.T, place string, record journal.Record)
	// Optional: CutFrom truncates a closed log inside a record.
	CutFrom func(t *testing.T, place string, record journal.Record)
	// Optional: Tear leaves the start of another append at the end of a closed log, as a crash does.
	Tear func(t *testing.T, place string)
	// Optional: RemovePart removes a file of a closed log, neither the oldest nor the newest, and returns the numbers
	// in it. The log has some MiB.
	RemovePart func(t *testing.T, place string) journal.Range
}

// StateEngine describes a state and the faults that can be applied to it, see [LogEngine].
type StateEngine struct {
	NewLocation func(t *testing.T) string
	Open        func(ctx context.Context, place string) (journal.State, error)
	InFolder    bool
	// OneProcess means that a second process cannot open the state, and gets an error.
	OneProcess bool
}

// Log tests an engine's log.
func Log(t *testing.T, engine LogEngine) {
	s := logSuite{engine}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"order", s.order},
		{"reopened", s.reopened},
		{"changed", s.changed},
		{"read limits", s.readLimits},
		{"large entries", s.largeEntries},
		{"too large", s.tooLarge},
		{"readers and a writer", s.readersAndWriter},
		{"retention", s.retention},
		{"appended again", s.appendedAgain},
		{"reserved numbers", s.reserve},
		{"back in time", s.backInTime},
		{"end cut off", s.endCutOff},
		{"torn end", s.tornEnd},
		{"damaged record", s.damagedRecord},
		{"missing part", s.missingPart},
		{"second process", s.secondProcess},
		{"killed", s.killed},
		{"full disk", s.fullDisk},
		{"files that cannot grow", s.filesThatCannotGrow},
		{"power cut", s.powerCut},
	} {
		t.Run(test.name, test.run)
	}
}

// State tests an engine's state.
func State(t *testing.T, engine StateEngine) {
	s := stateSuite{engine}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"values", s.values},
		{"revisions", s.revisions},
		{"compare and set", s.compareAndSet},
		{"list", s.list},
		{"list while it changes", s.listWhileItChanges},
		{"watch", s.watch},
		{"large values", s.largeValues},
		{"reopened", s.reopened},
		{"second opener", s.secondOpener},
		{"killed", s.killed},
		{"full disk", s.fullDisk},
		{"files that cannot grow", s.filesThatCannotGrow},
		{"power cut", s.powerCut},
	} {
		t.Run(test.name, test.run)
	}
}

// times returns how often to repeat a test: the value of an environment variable, or usual.
func times(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return usual
}
