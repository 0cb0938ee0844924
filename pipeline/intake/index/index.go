// Package index finds the treats of the journal by account, second and content. It is derived from the log and stored
// in a folder of its own. A missing or damaged file is rebuilt from the log. The index knows events, but neither an
// engine nor the provider.
//
// It remembers treats that the log has lost. That is how a loss is noticed and backfilled from the provider's history.
//
// On disk the index consists of sorted, immutable runs, and a tail with the records that are in no run yet. In memory
// it holds the tail, and for each run a filter and the start of its blocks: about 100 bytes for each of the newest 64
// Ki treats and 1.3 bytes for each other one.
//
// Start reading at [Index.Find] and [Index.Committed]. The file record.go has the records, table.go and tail.go the
// newest ones, and run.go the rest.
package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Log is the part of the journal that the index reads: a [journal.Log] or a [journal.Journal].
type Log interface {
	Bounds() (first, next uint64)
	Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error)
	Gaps(ctx context.Context) ([]journal.Range, error)
}

// Config configures an [Index].
type Config struct {
	// Dir is the folder of the index. It is created if needed. Only one index at a time may use it.
	Dir string
	// Log is the indexed log.
	Log Log
	// Retention is how long the journal is kept, 0 for ever. Lost treats are forgotten after that time.
	Retention time.Duration
	Logger    zerolog.Logger

	limit int // records per run; 0: runRecords
}

// runRecords is the number of records in a run.
const runRecords = 64 << 10

// Index is the index of one journal. Its methods are safe for concurrent use.
type Index struct {
	cfg     Config
	pending pending
	commits atomic.Uint64 // see [Index.Commits]

	catching sync.Mutex // one [Index.CatchUp] at a time
	writing  sync.Mutex // one append at a time; taken before mu
	files    files      // guarded by writing

	mu       sync.RWMutex
	active   *table
	full     *table // about to become a run; nil: none
	flush    *flush // the last one
	runs     []*run
	accounts map[uint64]*account
	cover    []journal.Range // the numbers of the log that tables and runs cover completely
}

// files is the state of the index files.
type files struct {
	seq    uint64 // of the newest file
	logged string // the last failure that was logged; empty: none
}

// Hit is a treat in the index.
type Hit struct {
	fingerprint.Fingerprint
	Number    uint64    // in the log, even if the log has lost it
	Repeat    uint64    // its ordinal among exact repeats plus one; 0: not counted
	Journaled time.Time // to the second
	Backfill  bool      // its origin is backfill
	Baseline  uint16    // the [BaselineTag] of the baseline that contains it; 0: none
	Lost      bool      // the log has lost it
	// Known is true if this is not an event of the journal, but Count treats that the history held at the baseline.
	Known bool
	Count uint64
}

// Summary is what the index knows of an account's newest records. It is zero for an unknown account.
type Summary struct {
	// Newest is the newest treat. Seen is false if there is none.
	Newest Hit
	Seen   bool
	// Backfilled is the number of the newest backfilled treat. Batches cover those up to Batched.
	Backfilled, Batched uint64
	// BaselineID is the id of the newest complete baseline, empty if there is none. It has BaselineSize distinct treats
	// and was journaled at BaselineMade.
	BaselineID   string
	BaselineSize int
	BaselineMade time.Time
}

// ErrDamaged means that a file of the index was damaged. It is rebuilt from the log by now: retry.
var ErrDamaged = errors.New("a file of the journal's index was damaged")

// Close closes the index. No other method may be called during or after it.
func (ix *Index) Close() error {
	ix.writing.Lock() // no other flush begins
	defer ix.writing.Unlock()
	if f := ix.flush; f != nil {
		<-f.done
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var errs []error
	for _, t := range []*table{ix.full, ix.active} {
		if t != nil && t.log != nil {
			errs = append(errs, t.log.close())
		}
	}
	for _, r := range ix.runs {
		r.release()
	}
	ix.runs = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the index of the journal: %w", err)
	}
	return nil
}

// Through returns the highest number of the log that the index has seen, or 0. If it is at least the log's next number,
// the log has lost its end.
func (ix *Index) Through() uint64 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if n := len(ix.cover); n > 0 {
		return ix.cover[n-1].Last
	}
	return 0
}

// Count returns how many received treats the index knows, including treats that the log has lost or has dropped
// recently.
func (ix *Index) Count() (n int) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	for _, r := range ix.runs {
		n += r.info.events
	}
	if ix.full != nil {
		n += ix.full.events
	}
	return n + ix.active.events
}

// Account returns a summary of an account. It does not block. Newest.Lost is not set.
func (ix *Index) Account(name string) (s Summary) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	a := ix.accounts[accountHash(name)]
	if a == nil {
		return s
	}
	s.Backfilled, s.Batched = a.backfilled, a.batched
	if a.newest.number > 0 {
		s.Newest, s.Seen = a.newest.hit(false), true
	}
	if b := &a.baseline; b.number > 0 {
		s.BaselineID, s.BaselineSize, s.BaselineMade = NewBaselineID(b.core), int(b.repeat), time.Unix(int64(b.journaled), 0).UTC() //nolint:gosec // bounded by a reply
	}
	return s
}

// pending contains the treats that are on their way into the journal.
type pending struct {
	mu     sync.Mutex
	treats map[string]fingerprint.Fingerprint // by event id
}

// Expect records that an event is about to be journaled. It reports false if the event is already expected.
// [Index.Committed] or [Index.Forget] ends the expectation.
func (ix *Index) Expect(id string, f *fingerprint.Fingerprint) bool {
	p := &ix.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, expected := p.treats[id]; expected {
		return false
	}
	p.treats[id] = *f
	return true
}

// Forget records that an expected event will not be journaled.
func (ix *Index) Forget(id string) {
	p := &ix.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.treats, id)
}

// of returns the fingerprint of an expected event that is journaled now, or nil. p.mu is held.
func (p *pending) of(r *journal.Record) *fingerprint.Fingerprint {
	if f, ok := p.treats[r.ID]; ok && r.Kind != journal.Reject {
		return &f
	}
	return nil
}

// done ends the expectation of an event that is journaled. p.mu is held.
func (p *pending) done(r *journal.Record) {
	id := r.ID
	if r.Kind == journal.Reject { // a treat that was too large becomes a reject
		id = strings.TrimPrefix(id, "cut_")
	}
	delete(p.treats, id)
}

// Commits counts the calls of [Index.Committed]. If it changes between a lookup and a later [Index.Expect] that
// succeeds, the event may have been journaled in between: repeat the lookup.
func (ix *Index) Commits() uint64 { return ix.commits.Load() }
