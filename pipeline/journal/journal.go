package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// MaxBatch bounds the entries of one append.
const MaxBatch = 1000

// Config configures a [Journal].
type Config struct {
	// Log and State are those of the engine. The caller closes them after the journal has ended.
	Log   Log
	State State
	// Attempts reads the attempts to deliver. Nil: there are none.
	Attempts Attempts
	// Retention is how long entries are kept. A sink that has not accepted an entry by then does not get it. 0:
	// forever.
	Retention time.Duration
	// Committed is called with the records that were just written, in order, before anyone waiting for them continues.
	// It must not wait for the journal. It may keep the data of the records, but not the slice. Nil: not called.
	Committed func([]Record)
	// OnStage is called after each stage of each treat, also concurrently. It must not block. Nil: not called.
	OnStage func(pipeline.Stage)
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: no metrics, as in a command
}

// Journal is the durable log of what relay received, with the state derived from it. All methods are safe for
// concurrent use.
type Journal struct {
	cfg      Config
	queue    *queue
	phase    atomic.Int32 // see phaseIdle
	changed  broadcast    // for those who wait for something to read, while Run runs
	tail     tail
	dead     deadTable
	health   health
	activity activity
	writer   writer
	lanes    atomic.Pointer[func() map[string]Cursor] // see SetCursors; nil: not set
}

// The phases of a journal.
const (
	phaseIdle    = iota // nobody runs it: Put writes by itself
	phaseRunning        // Run writes
	phaseEnded          // Run has ended
)

// ErrNoJournal means that relay has never kept a journal there.
var ErrNoJournal = errors.New("there is no journal yet: relay creates it when it first runs")

// Open opens the journal on an open engine, for the relay that writes it. If the log has lost its end, it reserves the
// lost numbers that the state knows, so that they become a gap. It updates what is derived from the log. Before
// [Journal.Enqueue], the caller must run [Journal.Run].
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	j := newJournal(cfg)
	if err := j.reserveKnown(ctx); err != nil {
		return nil, err
	}
	if newest, ok, err := NewestRecord(ctx, j); err != nil {
		return nil, err
	} else if ok {
		j.writer.lastTime = newest.Time
	}
	if err := j.derive(ctx); err != nil {
		return nil, err
	}
	if err := j.noteDerived(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// Attach opens an existing journal beside the relay that writes it, or while none does. It changes nothing by itself.
// If there is no journal, the error is [ErrNoJournal].
func Attach(ctx context.Context, cfg Config) (*Journal, error) {
	if _, next := cfg.Log.Bounds(); next <= 1 { // or an empty one
		if _, _, err := cfg.State.Get(ctx, derivedKey); errors.Is(err, ErrNoKey) {
			return nil, ErrNoJournal
		}
	}
	return newJournal(cfg), nil
}

func newJournal(cfg Config) *Journal {
	if cfg.Attempts == nil {
		cfg.Attempts = noAttempts{}
	}
	return &Journal{cfg: cfg, queue: newQueue(), dead: deadTable{wake: make(chan struct{}, 1)}}
}

// Log returns the engine's log.
func (j *Journal) Log() Log { return j.cfg.Log }

// Attempts returns the reader of the attempts to deliver. It is never nil.
func (j *Journal) Attempts() Attempts { return j.cfg.Attempts }

// State returns the engine's state.
func (j *Journal) State() State { return j.cfg.State }

// Retention returns how long entries are kept; 0: forever.
func (j *Journal) Retention() time.Duration { return j.cfg.Retention }

// Bounds returns the number of the oldest record that may be held, and the next number.
func (j *Journal) Bounds() (first, next uint64) { return j.cfg.Log.Bounds() }

// LastNumber returns the newest number of any entry; 0: none.
func (j *Journal) LastNumber(context.Context) (uint64, error) {
	_, next := j.cfg.Log.Bounds()
	return max(next, 1) - 1, nil
}

// Changed returns a channel that is closed when there is something new to read. Get it before reading, so that no
// change is missed.
func (j *Journal) Changed() <-chan struct{} {
	if j.phase.Load() == phaseRunning {
		// Run announces its writes when they are in memory, so that readers need not go to the disk.
		c := j.changed.wait()
		if j.phase.Load() == phaseRunning {
			return c
		}
	}
	return j.cfg.Log.Changed()
}

// Gaps returns the numbers that the log has lost, see [Log].
func (j *Journal) Gaps(ctx context.Context) ([]Range, error) { return j.cfg.Log.Gaps(ctx) }

// Reserve makes sure that no number up to last is assigned from now on, see [Log].
func (j *Journal) Reserve(ctx context.Context, last uint64) error {
	j.writer.mu.Lock()
	defer j.writer.mu.Unlock()
	j.writer.recent = recent{} // what the log has lost may be put again
	return j.cfg.Log.Reserve(ctx, last)
}

// Read returns durable records from number from on, in order, like [Log]. The newest ones come from memory.
func (j *Journal) Read(ctx context.Context, from uint64, limit int) ([]Record, error) {
	if records := j.tail.read(from, limit); len(records) > 0 {
		return records, nil
	}
	records, err := j.cfg.Log.Read(ctx, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read the journal from number %d on: %w", from, err)
	}
	return records, nil
}

// Get returns one record. If the journal does not hold it, the error is [ErrNotHeld].
func (j *Journal) Get(ctx context.Context, number uint64) (Record, error) {
	records, err := j.Read(ctx, number, 1)
	if err != nil {
		return Record{}, err
	}
	if len(records) == 0 || records[0].Number != number {
		return Record{}, fmt.Errorf("read number %d of the journal: %w", number, ErrNotHeld)
	}
	return records[0], nil
}

// SeekTime returns the number of the oldest record journaled at or after t, or the next number if there is none.
func (j *Journal) SeekTime(ctx context.Context, t time.Time) (uint64, error) {
	return SeekTime(ctx, j, t)
}

// Fits reports whether every engine takes an entry of this size by default.
func Fits(e *Entry) bool { return EntrySize(e) <= maxEntry }
