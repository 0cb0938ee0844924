// Package index remembers the treats of the journal by what they are: account, second and content. It is derived from the log and lies beside it, in
// a folder of its own. It knows no engine.
//
// A record of the index stays when the log loses its entry: that is how a loss is noticed and made good from the provider's history.
package index

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Log is what the index reads of the journal: a [journal.Log] or a [journal.Journal].
type Log interface {
	Bounds() (first, next uint64)
	Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error)
	Gaps(ctx context.Context) ([]journal.Span, error)
}

// Config configures an [Index].
type Config struct {
	// Dir is the folder of the index. It is made if it is not there. Only one index at a time may use it.
	Dir string
	// Log is what the index is of.
	Log Log
	// Retention is how long the journal is kept, 0 for ever. What is older is forgotten, also what the log has lost.
	Retention time.Duration
	Logger    zerolog.Logger
}

// Index is the index of one journal. Its methods are safe for use by several goroutines, but [Index.Committed] only by one at a time.
type Index struct{}

// Hit is one record of the index.
type Hit struct {
	Fingerprint
	Number   uint64
	Ordinal  uint64
	Time     time.Time // when it was journaled, to the second
	Origin   pipeline.Origin
	Baseline uint16 // see [BaselineTag]; 0: in none
	Lost     bool   // the log has lost it
}

// Loss is what the log has lost of one account.
type Loss struct {
	Account     string
	Events      int
	First, Last time.Time // when the first and the last of them were journaled
}

var errTODO = errors.New("not there yet")

// Open opens the index in its folder and brings it up to date with the log. Files that are damaged or missing are made again from the log.
//
// If [Index.Through] is then at or above the log's next number, the log has lost its end: the caller reports [Index.Lost] and has that number
// reserved, before anything is written.
func Open(context.Context, Config) (*Index, error) { return nil, errTODO }

// Close ends the index. Nothing else may be called during and after it.
func (ix *Index) Close() error { return errTODO }

// Committed notes what was just written. It is the callback of [journal.Config], and does not wait for the journal.
func (ix *Index) Committed([]journal.Record) {}

// CatchUp reads what others have written to the log.
func (ix *Index) CatchUp(context.Context) error { return errTODO }

// Through is the highest number that the index knows.
func (ix *Index) Through() uint64 { return 0 }

// Count is how many treats the index knows, those included that the log has lost.
func (ix *Index) Count() uint64 { return 0 }

// Newest returns the newest treat of an account, and false if there is none.
func (ix *Index) Newest(string) (Hit, bool) { return Hit{}, false }

// Lost returns what the log does not hold of the treats from a number on.
func (ix *Index) Lost(context.Context, uint64) ([]Loss, error) { return nil, errTODO }

// Find appends the treats of an account with that fingerprint to hits.
func (ix *Index) Find(_ context.Context, hits []Hit, _ string, _ Fingerprint) ([]Hit, error) {
	return hits, errTODO
}

// Range calls visit with the treats of an account whose date, as it is written, is within the bounds, in the order of their dates, until it returns false.
func (ix *Index) Range(context.Context, string, time.Time, time.Time, func(Hit) bool) error {
	return errTODO
}
