package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// Config configures a [Journal].
type Config struct {
	// Log and State are the engine's. They stay the caller's to close, after the journal has ended.
	Log   Log
	State State
	// Retention is how long entries are kept. What no sink has accepted by then is lost to that sink. 0: for ever.
	Retention time.Duration
	// Committed is called with what was just written, in order, before anybody who waits for it is told. It does not wait for the journal. Nil: nobody is.
	Committed func([]Record)
	// Trace is told of each stage of each treat, once it has ended. It does not wait, and is called by several goroutines. Nil: nobody is.
	Trace   func(pipeline.Stage)
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: nothing is counted, as in a command
}

// Journal is the durable log of what relay received, and what it must know of it. All methods are safe for use by several goroutines.
type Journal struct {
	log       Log
	state     State
	retention time.Duration
	committed func([]Record)
	trace     func(pipeline.Stage)
	logger    zerolog.Logger
	metrics   *pipeline.Metrics

	queue    *queue
	tail     tail
	running  atomic.Bool
	activity activity
	health   health
	recent   recent
	derived  derived

	writing  sync.Mutex // one append at a time
	lastTime time.Time  // of the newest entry that this process wrote
}

// Open opens the journal on an engine that is open, and brings what is derived from the log up to date. Whoever appends to it with
// [Journal.Enqueue] has [Journal.Run] run.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	j := &Journal{
		log: cfg.Log, state: cfg.State, retention: cfg.Retention, committed: cfg.Committed, trace: cfg.Trace,
		logger: cfg.Logger, metrics: cfg.Metrics, queue: newQueue(),
	}
	if newest, ok, err := j.newest(ctx); err != nil {
		return nil, err
	} else if ok {
		j.lastTime = newest.Time
	}
	if err := j.derive(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// State returns the state beside the log.
func (j *Journal) State() State { return j.state }

// Retention is how long entries are kept, 0 for ever.
func (j *Journal) Retention() time.Duration { return j.retention }

// Bounds returns the number of the oldest record that may be held, and the one after the newest that was given.
func (j *Journal) Bounds() (first, next uint64) { return j.log.Bounds() }

// Changed returns a channel that is closed when there is something new to read.
func (j *Journal) Changed() <-chan struct{} { return j.log.Changed() }

// Gaps returns the numbers that were given and are lost, see [Log].
func (j *Journal) Gaps(ctx context.Context) ([]Span, error) { return j.log.Gaps(ctx) }

// Reserve makes sure that no number up to last is given from now on, see [Log].
func (j *Journal) Reserve(ctx context.Context, last uint64) error { return j.log.Reserve(ctx, last) }

// Read returns durable records in order, from number from on, as [Log] does. The newest ones come from memory.
func (j *Journal) Read(ctx context.Context, from uint64, limit int) ([]Record, error) {
	if records := j.tail.read(from, limit); len(records) > 0 {
		return records, nil
	}
	records, err := j.log.Read(ctx, from, limit)
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

// newest returns the newest record that is held.
func (j *Journal) newest(ctx context.Context) (r Record, ok bool, err error) {
	first, next := j.log.Bounds()
	for step := uint64(1); next > first; step *= 16 { // the newest numbers may be lost
		from := first
		if next-first > step {
			from = next - step
		}
		for at := from; ; {
			records, err := j.Read(ctx, at, maxBatch)
			if err != nil {
				return r, false, err
			}
			if len(records) == 0 {
				break
			}
			r, ok = records[len(records)-1], true
			at = r.Number + 1
		}
		if ok || from == first {
			return r, ok, nil
		}
	}
	return r, false, nil
}

// SeekTime returns the number of the oldest record that was journaled at or after t, or the next number if there is none.
func (j *Journal) SeekTime(ctx context.Context, t time.Time) (uint64, error) {
	low, high := j.log.Bounds()
	for low < high { // times never fall
		mid := low + (high-low)/2
		records, err := j.Read(ctx, mid, 1)
		if err != nil {
			return 0, err
		}
		if len(records) == 0 || !records[0].Time.Before(t) {
			high = mid
			continue
		}
		low = records[0].Number + 1
	}
	return low, nil
}

// Item is an entry on its way into the journal.
type Item struct {
	Entry
	// Received is when its payload came, for the metrics and traces.
	Received time.Time
	// Done is called once the entry is on disk, with its number, or once it is sure that it will not be written. It does not wait. Nil: nobody is told.
	Done func(number uint64, err error)
}

// Enqueue hands an entry over to be written, in the order of the calls. It waits while too many, or too large ones, are before it, and returns an
// error only if ctx ended meanwhile.
func (j *Journal) Enqueue(ctx context.Context, item Item) error {
	if err := j.queue.put(ctx, item); err != nil {
		return fmt.Errorf("journal a treat of %s: %w", item.Account, err)
	}
	return nil
}

// Put writes entries, in their order, and returns their numbers when they are on disk. An entry with an ID that was put lately is not written
// again: its number is that of the first one. If ctx ends before, it is not known whether they will be written; they may be put again.
func (j *Journal) Put(ctx context.Context, entries ...Entry) ([]uint64, error) {
	if !j.running.Load() {
		return j.putNow(ctx, entries)
	}
	type result struct {
		at     int
		number uint64
		err    error
	}
	results := make(chan result, len(entries))
	for i, e := range entries {
		err := j.queue.put(ctx, Item{Entry: e, Received: time.Now(), Done: func(number uint64, err error) { results <- result{i, number, err} }})
		if err != nil {
			return nil, err
		}
	}
	numbers := make([]uint64, len(entries))
	var errs error
	for range entries {
		select {
		case r := <-results:
			numbers[r.at], errs = r.number, errors.Join(errs, r.err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return numbers, errs
}

// putNow writes entries in this goroutine, for a journal that nobody runs.
func (j *Journal) putNow(ctx context.Context, entries []Entry) ([]uint64, error) {
	items := make([]Item, len(entries))
	numbers := make([]uint64, len(entries))
	for i, e := range entries {
		items[i] = Item{Entry: e, Received: time.Now(), Done: func(number uint64, _ error) { numbers[i] = number }}
	}
	return numbers, j.write(ctx, items)
}

// Fits reports whether an entry is of a size that every engine takes by default.
func Fits(e *Entry) bool { return EntrySize(e) <= maxEntry }
