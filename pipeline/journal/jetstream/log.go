package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Log is a [journal.Log] in a stream of a JetStream server. Its methods are safe for concurrent use.
type Log struct {
	client    *client
	state     *State
	retention time.Duration
	replicas  int
	attached  bool

	writing sync.Mutex // held while writing, or while finding out what the stream holds
	tuner   batchTuner // guarded by writing
	recent  recent     // guarded by writing

	mu sync.Mutex
	at view

	end  context.CancelFunc
	done chan struct{}
}

// A view is what the log knows of the stream.
type view struct {
	table      *table
	first      uint64    // sequence of the oldest record, or the next one if there is none
	last       uint64    // sequence of the newest record
	firstTime  time.Time // when the server received the oldest record
	generation uint64    // of the connection on which this was read
	known      bool      // false after a failed write, until the content is known again
	bytes      uint64
	largest    int64         // size limit of a message in the stream; 0 or less: the server's
	changed    chan struct{} // closed with the next change of the bounds
}

func (v *view) next() uint64 { return v.table.number(v.last) + 1 }

// top returns the highest number that was assigned or reserved.
func (v *view) top() uint64 { return v.table.number(v.last+1) - 1 }

// oldest returns the number of the oldest record that may be held.
func (v *view) oldest() uint64 { return v.table.number(min(v.first, v.last+1)) }

var errReadOnly = errors.New("only the relay that owns the journal does this")

// start determines the bounds of the log and follows the stream until [Log.Close]. info is the server's answer on that
// generation of the connection.
func (l *Log) start(ctx context.Context, info *streamInfo, generation uint64) error {
	t, err := l.findTable(ctx, info)
	if err != nil {
		return err
	}
	l.tuner.never = !info.Config.AllowAtomicPublish // neither does a server before 2.12
	l.take(info, generation, t)
	if from := t.Epochs[len(t.Epochs)-1].From; from > info.State.LastSeq+1 && !l.attached {
		// The stream went back in time while nobody watched.
		t = t.begin(info.State.LastSeq, max(t.top(), l.at.top()), l.at.oldest(), time.Now())
		if err := l.adopt(ctx, t); err != nil {
			return err
		}
	}
	if err := l.rememberNewest(ctx, info.State.LastSeq); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.end, l.done = cancel, make(chan struct{})
	go l.follow(run)
	return nil
}

// rememberNewest stores the id of the newest record.
func (l *Log) rememberNewest(ctx context.Context, last uint64) error {
	if last == 0 {
		return nil
	}
	msg, err := l.client.get(ctx, last, false)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if e, err := journal.ParseEntry(msg.Data); err == nil {
		l.recent.remember(last, e.ID)
	}
	return nil
}

// take sets the view from a table and the server's answer about the stream.
func (l *Log) take(info *streamInfo, generation uint64, t *table) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &l.at
	before, first, same := v.last, v.first, v.table == t
	v.table = t
	v.first, v.last, v.firstTime, v.bytes = info.State.FirstSeq, info.State.LastSeq, info.State.FirstTime, info.State.Bytes
	v.first, v.largest = max(v.first, 1), int64(info.Config.MaxMsgSize)
	if info.State.Msgs == 0 {
		v.first = v.last + 1
	}
	v.generation, v.known = generation, true
	if v.last != before || v.first != first || !same {
		v.notify()
	}
}

func (v *view) notify() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// adopt sets the log's table once it is stored in the state.
func (l *Log) adopt(ctx context.Context, t *table) error {
	if err := l.state.saveTable(ctx, t); err != nil {
		return err
	}
	l.mu.Lock()
	l.at.table = t
	l.at.notify()
	l.mu.Unlock()
	return nil
}

// snapshot returns the current view.
func (l *Log) snapshot() view {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// Bounds implements [journal.Log].
func (l *Log) Bounds() (first, next uint64) {
	v := l.snapshot()
	return v.oldest(), v.top() + 1
}

// Changed implements [journal.Log].
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at.changed
}

// Size implements [journal.Log].
func (l *Log) Size() int64 {
	return int64(min(l.snapshot().bytes, 1<<62))
}

// Close implements [journal.Log]. The connection stays open.
func (l *Log) Close() error {
	l.end()
	<-l.done
	l.client.close()
	return nil
}

// How often the log asks the server for changes that no answer reports: records dropped by age or by an operator, and,
// in an attached log, new ones.
const (
	refreshEvery = 2 * time.Second
	attachEvery  = 200 * time.Millisecond
)

// follow keeps the view up to date.
func (l *Log) follow(ctx context.Context) {
	defer close(l.done)
	every := refreshEvery
	if l.attached {
		every = attachEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	again := l.client.nc.StatusChanged(nats.CONNECTED)
	defer l.client.nc.RemoveStatusListener(again)
	logged := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-again:
		}
		err := l.refresh(ctx)
		if err != nil && l.attached { // readers of an attached log see the error themselves
			l.mu.Lock()
			l.at.notify()
			l.mu.Unlock()
		}
		switch {
		case err == nil:
			logged = ""
		case ctx.Err() == nil && !errors.Is(err, errLost) && err.Error() != logged:
			logged = err.Error()
			l.client.log.Warn().Err(err).Str("server", l.client.name()).Msg("cannot read the state of the journal's stream")
		}
	}
}

// refresh updates the view, unless a write is about to do so.
func (l *Log) refresh(ctx context.Context) error {
	if l.attached {
		return l.reread(ctx)
	}
	if !l.writing.TryLock() {
		return nil
	}
	defer l.writing.Unlock()
	return l.verify(ctx)
}

// reread updates the view of an attached log. It reads the table after the bounds, since the table is written before
// the first record that needs it.
func (l *Log) reread(ctx context.Context) error { return l.rereadAll(ctx, false) }

// rereadAll optionally also reads the table if the stream has not changed. That is needed before a write, since numbers
// may have been reserved.
func (l *Log) rereadAll(ctx context.Context, always bool) error {
	generation := l.client.generation()
	info, err := l.client.info(ctx, StreamName, nil)
	if err != nil {
		return err
	}
	v := l.snapshot()
	if !always && info.State.LastSeq == v.last && info.State.FirstSeq == v.first && generation == v.generation {
		return nil
	}
	t, err := l.state.loadTable(ctx)
	if err != nil {
		return err
	}
	if t == nil {
		t = v.table
	}
	l.take(info, generation, t)
	return nil
}

// Reserve implements [journal.Log].
func (l *Log) Reserve(ctx context.Context, last uint64) error {
	if l.attached {
		return errReadOnly
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.current(ctx); err != nil {
		return l.client.fail(fmt.Sprintf("reserve the numbers up to %d", last), err)
	}
	v := l.snapshot()
	if last <= v.top() {
		return nil
	}
	if err := l.adopt(ctx, v.table.begin(v.last, last, v.top()+1, time.Now())); err != nil {
		return l.client.fail(fmt.Sprintf("reserve the numbers up to %d", last), err)
	}
	return nil
}

// Gaps implements [journal.Log]. A record that was deleted on the server, or that the server found damaged, is a gap.
func (l *Log) Gaps(ctx context.Context) ([]journal.Range, error) {
	v := l.snapshot()
	info, err := l.client.info(ctx, StreamName, map[string]any{"deleted_details": true})
	if err != nil && !noStream(err) {
		return nil, l.client.fail("look for gaps in the journal", err)
	}
	var ranges []journal.Range
	for _, g := range v.table.Gaps {
		ranges = append(ranges, g.Range)
	}
	if err == nil {
		for _, sequence := range info.State.Deleted {
			if sequence <= v.last {
				n := v.table.number(sequence)
				ranges = append(ranges, journal.Range{First: n, Last: n})
			}
		}
	}
	return mergeRanges(ranges), nil
}

// mergeRanges sorts ranges and merges those that touch.
func mergeRanges(ranges []journal.Range) []journal.Range {
	slices.SortFunc(ranges, func(a, b journal.Range) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	var out []journal.Range
	for _, s := range ranges {
		if n := len(out); n > 0 && s.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// DropBefore implements [journal.Log].
func (l *Log) DropBefore(ctx context.Context, t time.Time) error {
	if l.attached {
		return errReadOnly
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.dropBefore(ctx, t); err != nil {
		return l.client.fail("drop old records of the journal", err)
	}
	return nil
}

func (l *Log) dropBefore(ctx context.Context, t time.Time) error {
	if err := l.current(ctx); err != nil {
		return err
	}
	v := l.snapshot()
	if kept := v.table.forget(t); kept != v.table {
		if err := l.adopt(ctx, kept); err != nil {
			return err
		}
	}
	// All records below low are older than t; the one at high, if any, is not.
	low, high := v.first, v.last+1
	for first := true; low < high; first = false {
		middle := low + (high-low)/2
		if first {
			middle = low // usually there is nothing to drop
		}
		msg, err := l.client.get(ctx, middle, true)
		if notFound(err) {
			high = middle
			continue
		}
		if err != nil {
			return err
		}
		if e, err := journal.ParseEntry(msg.Data); msg.Sequence >= high || err == nil && !e.Time.Before(t) {
			high = middle
		} else {
			low = msg.Sequence + 1
		}
	}
	if low == v.first {
		return nil
	}
	if err := l.client.api(ctx, "STREAM.PURGE."+StreamName, natsjs.StreamPurgeRequest{Sequence: low}, nil); err != nil {
		return err
	}
	l.mu.Lock()
	l.at.first = low
	l.at.notify()
	l.mu.Unlock()
	return l.verify(ctx)
}
