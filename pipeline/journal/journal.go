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

// MaxBatch is how many entries one append takes at most.
const MaxBatch = 1000

// Config configures a [Journal].
type Config struct {
	// Log and State are the engine's. They stay the caller's to close, after the journal has ended.
	Log   Log
	State State
	// Attempts reads the attempts to deliver. Nil: there are none.
	Attempts Attempts
	// Retention is how long entries are kept. What no sink has accepted by then is lost to that sink. 0: for ever.
	Retention time.Duration
	// Committed is called with what was just written, in order, before those who wait for it go on. It does not wait for the journal. The
	// slice is used again when it has returned; what the records hold is not. Nil: nobody is.
	Committed func([]Record)
	// Trace is called with each stage of each treat, once it has ended. It does not wait, and is called by several goroutines. Nil: it is not.
	Trace   func(pipeline.Stage)
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: nothing is counted, as in a command
}

// Journal is the durable log of what relay received, and what it must know of it. All methods are safe for use by several goroutines.
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
	lanes    atomic.Pointer[func() map[string]Cursor] // see SetCursors; nil: nobody has said
}

// The phases of a journal.
const (
	phaseIdle    = iota // nobody runs it: whoever puts something writes it himself
	phaseRunning        // Run writes
	phaseEnded          // Run has ended
)

// ErrNoJournal says that relay has never kept a journal there.
var ErrNoJournal = errors.New("there is no journal yet: it begins when relay first runs")

// Open opens the journal on an engine that is open, for the relay that writes it. If the state knows of numbers that the log has lost with its
// end, they are reserved, so that they become a gap. What is derived from the log is brought up to date. Whoever
// appends to it with [Journal.Enqueue] has [Journal.Run] run.
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

// Attach opens a journal that exists, for somebody beside the relay that writes it or while none does. It changes nothing by itself. The
// error is an [ErrNoJournal] if there is none.
func Attach(ctx context.Context, cfg Config) (*Journal, error) {
	if _, next := cfg.Log.Bounds(); next <= 1 { // or one that holds nothing yet
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

// State returns the state beside the log.
func (j *Journal) State() State { return j.cfg.State }

// Retention is how long entries are kept, 0 for ever.
func (j *Journal) Retention() time.Duration { return j.cfg.Retention }

// Bounds returns the number of the oldest record that may be held, and the one after the newest that was given.
func (j *Journal) Bounds() (first, next uint64) { return j.cfg.Log.Bounds() }

// LastNumber is the newest number that was given, whatever it is of; 0 if there was none.
func (j *Journal) LastNumber(context.Context) (uint64, error) {
	_, next := j.cfg.Log.Bounds()
	return max(next, 1) - 1, nil
}

// Changed returns a channel that is closed when there is something new to read. Whoever gets it before he reads misses nothing.
func (j *Journal) Changed() <-chan struct{} {
	if j.phase.Load() == phaseRunning {
		// What Run writes is announced when it is in memory, so that nobody reads it from the disk.
		c := j.changed.wait()
		if j.phase.Load() == phaseRunning {
			return c
		}
	}
	return j.cfg.Log.Changed()
}

// Gaps returns the numbers that were given and are lost, see [Log].
func (j *Journal) Gaps(ctx context.Context) ([]Span, error) { return j.cfg.Log.Gaps(ctx) }

// Reserve makes sure that no number up to last is given from now on, see [Log].
func (j *Journal) Reserve(ctx context.Context, last uint64) error {
	j.writer.mu.Lock()
	defer j.writer.mu.Unlock()
	j.writer.recent = recent{} // what the log has lost may be put again
	return j.cfg.Log.Reserve(ctx, last)
}

// Read returns durable records in order, from number from on, as [Log] does. The newest ones come from memory.
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

// Get returns one record. The error is an [ErrNotHeld] if the journal does not hold it.
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

// SeekTime returns the number of the oldest record that was journaled at or after t, or the next number if there is none.
func (j *Journal) SeekTime(ctx context.Context, t time.Time) (uint64, error) {
	return SeekTime(ctx, j, t)
}

// Fits reports whether an entry is of a size that every engine takes by default.
func Fits(e *Entry) bool { return EntrySize(e) <= maxEntry }
