// Package index remembers the treats of the journal by what they are: account, second and content. It is derived from the log and lies beside it, in
// a folder of its own. It knows no engine.
//
// What it remembers stays when the log loses its entry: that is how a loss is noticed, and made good from the provider's history.
//
// On disk it is runs, which are sorted and do not change, and a tail of what is in no run yet. In memory it is the tail, and of each run
// a filter and where its blocks begin: some 100 bytes for each of the newest 64 Ki treats, and 1.3 for each other.
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
	// Retention is how long the journal is kept, 0 for ever. What the log has lost is forgotten after that time.
	Retention time.Duration
	Logger    zerolog.Logger

	limit int // records of a run; 0: runRecords
}

// runRecords is how many records a run has.
const runRecords = 64 << 10

// Index is the index of one journal. Its methods are safe for use by several goroutines.
type Index struct {
	cfg     Config
	pending pending
	commits atomic.Uint64 // see [Index.Commits]

	catching sync.Mutex // one [Index.CatchUp] at a time
	writing  sync.Mutex // one append at a time; taken before mu
	files    files      // belongs to the holder of writing

	mu       sync.RWMutex
	active   *table
	full     *table // which is about to become a run; nil: there is none
	flush    *flush // the last one
	runs     []*run
	accounts map[uint64]*account
	cover    []journal.Span // the numbers of the log that the tables and runs say everything of
}

// files is what is known of the files as a whole.
type files struct {
	seq     uint64 // of the newest
	trouble string // the last one that was logged
}

// Hit is one treat in the index.
type Hit struct {
	fingerprint.Fingerprint
	Number    uint64    // in the log, also if that has lost it
	Repeat    uint64    // its ordinal among exact repeats plus one; 0: it counts for none
	Journaled time.Time // to the second
	Backfill  bool      // it is of the origin backfill
	Baseline  uint16    // the [BaselineTag] of the baseline that holds it; 0: none does
	Lost      bool      // the log has lost it
	// Known is true for what is no event of the journal: Count treats that the account's history held at its baseline.
	Known bool
	Count uint64
}

// Summary is what is newest of an account. All zero: the index knows none.
type Summary struct {
	// Newest is the newest treat, and Seen false if there is none.
	Newest Hit
	Seen   bool
	// Backfilled is the number of the newest treat of the origin backfill, and Healed the one up to which they are in heal marks.
	Backfilled, Healed uint64
	// BaselineID is the newest whole baseline, of BaselineSize different treats, which was journaled at BaselineMade. Empty: there is none.
	BaselineID   string
	BaselineSize int
	BaselineMade time.Time
}

// ErrDamaged says that a file of the index was damaged. It is made again from the log by then: what failed is to be tried again.
var ErrDamaged = errors.New("a file of the journal's index was damaged")

// Close ends the index. Nothing else may be called during and after it.
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

// Through is the highest number of the log that the index knows of, 0 if there is none. If it is at or above the log's next number, the log
// has lost its end.
func (ix *Index) Through() uint64 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if n := len(ix.cover); n > 0 {
		return ix.cover[n-1].Last
	}
	return 0
}

// Count is how many treats the index knows that were received, those included that the log has lost or has dropped a short while ago.
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

// Account returns what is newest of an account. It waits for nothing. Newest.Lost is not set.
func (ix *Index) Account(name string) (s Summary) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	a := ix.accounts[accountHash(name)]
	if a == nil {
		return s
	}
	s.Backfilled, s.Healed = a.backfilled, a.healed
	if a.newest.number > 0 {
		s.Newest, s.Seen = a.newest.hit(false), true
	}
	if b := &a.baseline; b.number > 0 {
		s.BaselineID, s.BaselineSize, s.BaselineMade = NewBaselineID(b.core), int(b.repeat), time.Unix(int64(b.journaled), 0).UTC() //nolint:gosec // bounded by a reply
	}
	return s
}

// pending are the treats that are on their way into the journal.
type pending struct {
	mu     sync.Mutex
	treats map[string]fingerprint.Fingerprint // by the id of the event
}

// Expect says that an event is about to be journaled, and what it is. It reports false if that event is on its way already. [Index.Committed] or
// [Index.Forget] ends it.
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

// Forget says that an event will not be journaled.
func (ix *Index) Forget(id string) {
	p := &ix.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.treats, id)
}

// of returns what was said of an event that is journaled now, or nil. The caller holds mu.
func (p *pending) of(r *journal.Record) *fingerprint.Fingerprint {
	if f, ok := p.treats[r.ID]; ok && r.Kind != journal.Reject {
		return &f
	}
	return nil
}

// done ends the wait for an event that is journaled. The caller holds mu.
func (p *pending) done(r *journal.Record) {
	id := r.ID
	if r.Kind == journal.Reject { // a treat that was too large becomes one
		id = strings.TrimPrefix(id, "cut_")
	}
	delete(p.treats, id)
}

// Commits counts the calls of [Index.Committed]. Whoever looks for an event, and then finds that it is not expected, has to look again if the
// count has changed meanwhile: the event may have been journaled in between.
func (ix *Index) Commits() uint64 { return ix.commits.Load() }
