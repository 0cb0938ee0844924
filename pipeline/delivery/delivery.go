// Package delivery delivers the journal to the sinks. Each sink has a [Lane] with a durable position in the journal,
// its cursor. One reader follows the journal's end for all lanes.
//
// Delivery is at least once, in order per account, and isolated per sink: a sink that is slow or down neither delays
// another nor uses its buffer.
//
// A cursor is the next number to read, the numbers below it that are not settled, and those that the journal had lost
// when the lane read there. An event is settled when the sink has accepted it, when it is a dead letter on disk, or
// when the sink's rules exclude it. A killed process repeats the deliveries since the cursor was last saved, at most
// about 100 ms, with the same ids.
//
// A number alone never identifies an event: the cursor holds the id of the record before it, and retries hold the ids
// of their events. If the journal ends before a cursor, the numbers up to there are reserved, so that none of them is
// assigned to another event.
//
// It does not depend on the intake, an engine of the journal, or a type of sink. Start reading at [Dispatcher]
// and [Lane]. A record passes through reader.go, feed.go, follow.go, queues.go and worker.go; outcome.go handles what
// the sink does not accept, and ledger.go tracks unsettled events.
package delivery

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Config configures a [Dispatcher].
type Config struct {
	Journal *journal.Journal
	// CursorFile is the path of a second copy of the cursors, in addition to the one in the journal's state. Its folder
	// must exist. Empty: no second copy.
	CursorFile string
	Logger     zerolog.Logger
	Metrics    *pipeline.Metrics
	// OnStage is called after each attempt to deliver a treat, also concurrently. It must not block. Nil: not called.
	OnStage func(pipeline.Stage)
}

// Dispatcher reads the journal for the lanes and keeps their cursors. Its methods are safe for concurrent use.
type Dispatcher struct {
	cfg    Config
	reader *reader
	store  *cursor.Store
	// slots bounds how many lagging lanes read the journal at the same time, and so their memory.
	slots chan struct{}

	repairing sync.Mutex // serializes the reservation of lost numbers
}

const (
	// lagReaders is how many lagging lanes read at the same time.
	lagReaders = 4
	// nearEnd bounds how far before the journal's end the reader starts.
	nearEnd = 64 << 10
)

// New reads the cursors. If a cursor is past the journal's end, the journal has lost its end, and New reserves the
// numbers up to there. A journal must have only one dispatcher.
func New(ctx context.Context, cfg Config) (*Dispatcher, error) {
	store, saved, err := cursor.Open(ctx, cfg.Journal.State(), cfg.CursorFile, cfg.Logger)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg, store: store, slots: make(chan struct{}, lagReaders)}
	if sink, next := store.Furthest(); next > 0 {
		if err := d.reserve(ctx, "sink "+sink, next-1); err != nil {
			return nil, err
		}
	}
	start, err := cursor.End(ctx, cfg.Journal)
	if err != nil {
		return nil, fmt.Errorf("read the end of the journal: %w", err)
	}
	// The reader starts where the lanes were when relay ended, so that they need not read themselves.
	if saved.Next > 0 && saved.Next < start.Next && start.Next-saved.Next <= nearEnd {
		start = saved
	}
	d.reader = newReader(cfg.Journal, start, cfg.Logger)
	d.reader.dirty = store.MarkDirty
	d.reader.shorter = func(ctx context.Context, at cursor.Position) error { return d.reserve(ctx, "a lane", at.Next-1) }
	store.Follow(d.reader.position)
	cfg.Journal.SetCursors(d.Cursors)
	return d, nil
}

// reserve reserves the numbers up to last if the journal ends before it.
func (d *Dispatcher) reserve(ctx context.Context, who string, last uint64) error {
	d.repairing.Lock()
	defer d.repairing.Unlock()
	_, next := d.cfg.Journal.Bounds()
	if next > last {
		return nil
	}
	if err := d.cfg.Journal.Reserve(ctx, last); err != nil {
		return fmt.Errorf("reserve the numbers that the journal has lost: %w", err)
	}
	d.cfg.Logger.Error().Uint64("journal_ends_at", next-1).Uint64("known_to", last).Str("known_by", who).
		Msg("journal has lost its end: numbers in between are not assigned again, and missing treats are looked up in the history; was an older copy of it restored?")
	return nil
}

// Cursors returns the current positions of the open lanes, by sink. The copies in the journal's state are up to a
// second older, or a minute for lanes that only skip records. [New] hands them to the journal for its status.
func (d *Dispatcher) Cursors() map[string]journal.Cursor { return d.store.Current() }

// Run follows the journal's end for all lanes and saves their cursors until ctx ends. Call it once, and end it after
// the lanes: the later progress of a lane is saved only when the lane ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	var saver sync.WaitGroup
	saver.Go(func() { d.store.Run(ctx) })
	d.reader.run(ctx)
	saver.Wait()
	return nil
}

// Open makes the lane of a sink. A sink without a cursor starts at the journal's end, so a sink that is new in the
// configuration does not get older events. An earlier lane of that name must have ended. If the sink is a
// [pipeline.Resumer], Open asks it where to continue. If there is no error, the lane closes the sink.
func (d *Dispatcher) Open(ctx context.Context, sink pipeline.Sink, cfg LaneConfig) (*Lane, error) {
	l, err := d.open(ctx, sink, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	return l, nil
}

func (d *Dispatcher) open(ctx context.Context, sink pipeline.Sink, cfg LaneConfig) (*Lane, error) {
	j := d.cfg.Journal
	cursor, known, err := d.cursor(ctx, cfg.Sink)
	if err != nil {
		return nil, err
	}
	l := newLane(d, sink, cfg)
	if err := l.rules.Begin(ctx, j, cfg.Sink, cursor.Next, !known); err != nil {
		return nil, err
	}
	if l.anonymizer, err = rules.NewAnonymizer(ctx, j.State(), cfg.Sender); err != nil {
		return nil, err
	}
	if err := l.begin(ctx, cursor); err != nil {
		return nil, err
	}
	if known {
		return l, d.store.Open(cfg.Sink, l.snapshot)
	}
	return l, d.store.Begin(ctx, cfg.Sink, l.snapshot)
}

// cursor returns where a lane continues, and whether it existed before.
func (d *Dispatcher) cursor(ctx context.Context, sink string) (c journal.Cursor, known bool, err error) {
	j := d.cfg.Journal
	c, known = d.store.Find(sink)
	if !known {
		end, err := cursor.End(ctx, j)
		return journal.Cursor{Next: end.Next, LastID: end.ID, LastTime: end.Time}, false, err
	}
	at, replaced, err := cursor.Verify(ctx, j, cursor.Of(c))
	if err != nil || !replaced {
		return c, true, err
	}
	d.reportReplaced(sink, at)
	c, _, err = cursor.Rebase(ctx, j, c, at.Next)
	return c, true, err
}

func (d *Dispatcher) reportReplaced(sink string, at cursor.Position) {
	d.cfg.Logger.Error().Str("sink", sink).Uint64("goes_on_at", at.Next).Time("by_time", at.Time).
		Msg("journal holds other entries than before: the sink continues by time; was an older copy of the journal restored?")
}
