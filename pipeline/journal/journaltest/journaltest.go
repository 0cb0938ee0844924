// Package journaltest is the conformance suite of the journal's engines: what [journal.Log] and [journal.State] promise, tried on a real
// engine with real faults. An engine's tests call [Log] and [State].
//
// Some tests run the test binary again as a child process, which they kill. RELAY_TEST_KILLS says how often (default 20), and
// RELAY_TEST_POWER_CUTS how often the power is cut (default 3).
package journaltest

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/treatrelay/relay/pipeline/journal"
)

// LogEngine is an engine's log and what can be done to it. A place is where a log is: a folder, the address of a server, or whatever else Open
// understands, also in a child process. Optional functions are nil if there is no such thing; the tests that need them are skipped.
type LogEngine struct {
	// Place returns a place that holds nothing, and stays until the test ends.
	Place func(t *testing.T) string
	// Open opens the log at a place, to write it.
	Open func(ctx context.Context, place string) (journal.Log, error)

	// Largest is how many bytes of data an entry may surely have.
	Largest int
	// InFolder says that a place is a folder and holds all there is of the log. Such logs are also tried on a disk that is full or loses its power.
	InFolder bool

	// Optional: Reader opens the log at a place for reading while another process writes it.
	Reader func(ctx context.Context, place string) (journal.Log, error)
	// ReaderAppends says that what Reader opened may append, between what the other process writes.
	ReaderAppends bool
	// Optional: Snapshot keeps what a log that is not open holds, and returns a function that puts it back, as one who restores a backup does.
	Snapshot func(t *testing.T, place string) (restore func())
	// Optional: Damage changes a byte of a record of a log that is not open.
	Damage func(t *testing.T, place string, record journal.Record)
	// Optional: CutFrom removes the end of a log that is not open, from somewhere inside a record on.
	CutFrom func(t *testing.T, place string, record journal.Record)
	// Optional: Tear leaves the begin of another append behind the end of a log that is not open, as a crash does.
	Tear func(t *testing.T, place string)
	// Optional: RemovePart removes one of the files of a log that is not open, neither the oldest nor the newest, and
	// returns the numbers it held. The log holds some MiB.
	RemovePart func(t *testing.T, place string) journal.Span
}

// StateEngine is an engine's state and what can be done to it, see [LogEngine].
type StateEngine struct {
	Place    func(t *testing.T) string
	Open     func(ctx context.Context, place string) (journal.State, error)
	InFolder bool
	// OneProcess says that a second process cannot open the state meanwhile, and gets an error.
	OneProcess bool
}

// Log tries an engine's log.
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

// State tries an engine's state.
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

// times returns how often a test is to be repeated.
func times(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return usual
}
