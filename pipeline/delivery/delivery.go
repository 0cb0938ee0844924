// Package delivery hands the journal on to the sinks. Each sink has a [Lane] with a durable place in the journal, its cursor; one reader
// follows the journal's end for all of them.
//
// Delivery is at least once, in order per account, and isolated per sink: one that is slow or down neither delays another nor uses up its
// room.
//
// A cursor is the next number to read, the numbers below it that are not settled, and those that the journal had lost when the lane came
// there. An event is settled when the sink has accepted it, when it is a dead letter on disk, or when the sink's rules leave it out. A process that
// is killed delivers again what it has settled since the cursor was last saved, some 100 ms, under the same ids.
//
// A number is never taken for an event without more: the cursor holds the id of the record before it, and retries hold the
// ids of theirs. When the journal ends before a cursor, the numbers up to there are reserved, so that none of them comes to mean another event.
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
	// CursorFile is the path of the second copy of the cursors, beside the one in the journal's state. Its folder exists. Empty: there is none.
	CursorFile string
	Logger     zerolog.Logger
	Metrics    *pipeline.Metrics
	// Trace is called with each attempt to deliver a treat, once it has ended. It does not wait, and is called by several goroutines. Nil: nobody is.
	Trace func(pipeline.Stage)
}

// Dispatcher reads the journal for the lanes and keeps their cursors. Its methods are safe for use by several goroutines.
type Dispatcher struct {
	cfg    Config
	reader *reader
	store  *cursor.Store
	// slots bound how many lanes that lag read the journal at a time, and so the memory that takes.
	slots chan struct{}

	repairing sync.Mutex // one at a time reserves lost numbers
}

const (
	// lagReaders is how many lanes that lag read at a time.
	lagReaders = 4
	// nearEnd is how far before the journal's end the reader begins at most.
	nearEnd = 64 << 10
)

// New reads the cursors. If the journal has lost its end, so that a cursor is past it, New reserves the numbers up to there. A journal has one dispatcher.
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
	// Where the lanes were when relay ended, so that they find the reader there and need not read by themselves.
	if saved.Next > 0 && saved.Next < start.Next && start.Next-saved.Next <= nearEnd {
		start = saved
	}
	d.reader = newReader(cfg.Journal, start, cfg.Logger)
	d.reader.dirty = store.MarkDirty
	d.reader.shorter = func(ctx context.Context, at cursor.Place) error { return d.reserve(ctx, "a lane", at.Next-1) }
	store.Follow(d.reader.place)
	cfg.Journal.SetCursors(d.Cursors)
	return d, nil
}

// reserve makes sure that numbers up to last, which somebody was given, are not given again, if the journal ends before.
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
		Msg("journal has lost its end: numbers in between are not given again, and treats that are missing are looked up in the history; was an older copy of it put back?")
	return nil
}

// Cursors returns the places of the lanes that are open, by sink, as they are now. Those in the journal's state are up to a second older, and of lanes that only
// pass what they do not want up to a minute. [New] makes them known to the journal, for its status.
func (d *Dispatcher) Cursors() map[string]journal.Cursor { return d.store.Current() }

// Run follows the journal's end for all lanes and saves their cursors until ctx ends. It is to be called once, and to end after the lanes: what
// a lane that runs longer has done since is saved only when that ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	var saver sync.WaitGroup
	saver.Go(func() { d.store.Run(ctx) })
	d.reader.run(ctx)
	saver.Wait()
	return nil
}

// Open makes the lane of a sink. One whose name has no cursor yet begins at the journal's end: a sink that is new to the
// configuration is not sent what came before it. An earlier lane of that name must have ended. A sink that is a [pipeline.Resumer] is asked where to go on
// before Open returns. The sink is the lane's to close if there is no error.
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

// cursor returns where a lane goes on, and whether it had begun before.
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
	c, _, err = cursor.Refit(ctx, j, c, at.Next)
	return c, true, err
}

func (d *Dispatcher) reportReplaced(sink string, at cursor.Place) {
	d.cfg.Logger.Error().Str("sink", sink).Uint64("goes_on_at", at.Next).Time("by_time", at.Time).
		Msg("journal holds other entries than it did: the sink goes on by time; was an older copy of the journal put back?")
}
