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

// Log is a [journal.Log] in a stream of a JetStream server.
type Log struct {
	link      *link
	state     *State
	retention time.Duration
	replicas  int
	attached  bool

	writing sync.Mutex // held by whoever writes, or finds out what the stream holds
	pace    pace       // guarded by writing
	recent  recent     // guarded by writing

	mu sync.Mutex
	at view

	end  context.CancelFunc
	done chan struct{}
}

// A view is what is known of the stream.
type view struct {
	table      *table
	first      uint64    // the sequence of the oldest record, or the one after the newest
	last       uint64    // the sequence of the newest record
	firstTime  time.Time // when the server took the oldest record
	generation uint64    // of the connection on which this was found out
	known      bool      // false after a failed write, until it is found out what the stream holds
	bytes      uint64
	largest    int64         // bytes of a message, by the stream's own setting; 0 or less: as the server takes
	changed    chan struct{} // closed at the next change of the bounds
}

func (v *view) next() uint64 { return v.table.number(v.last) + 1 }

// top is the greatest number that was given or reserved.
func (v *view) top() uint64 { return v.table.number(v.last+1) - 1 }

// oldest is the number of the oldest record that may be held.
func (v *view) oldest() uint64 { return v.table.number(min(v.first, v.last+1)) }

var errReadOnly = errors.New("only the relay that owns the journal does this")

// start finds out where the log begins and ends, and follows the stream until [Log.Close]. info is what the server said on that generation of the connection.
func (l *Log) start(ctx context.Context, info *streamInfo, generation uint64) error {
	t, err := l.findTable(ctx, info)
	if err != nil {
		return err
	}
	l.pace.never = !info.Config.AllowAtomicPublish // so does a server before 2.12
	l.take(info, generation, t)
	if from := t.Epochs[len(t.Epochs)-1].From; from > info.State.LastSeq+1 && !l.attached {
		// The stream went back while nobody looked.
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

// rememberNewest keeps the id of the newest record.
func (l *Log) rememberNewest(ctx context.Context, last uint64) error {
	if last == 0 {
		return nil
	}
	msg, err := l.link.get(ctx, last, false)
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

// take makes a table, and what the server says of the stream's bounds, the view.
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

// adopt makes a table the log's, once it is kept in the state.
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

// snapshot returns the view as it is now.
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
	l.link.close()
	return nil
}

// How often the log asks the server for changes that no answer reports: records dropped by age or by an operator, and, if it only reads, new ones.
const (
	lookEvery   = 2 * time.Second
	attachEvery = 200 * time.Millisecond
)

// follow keeps the view up to date.
func (l *Log) follow(ctx context.Context) {
	defer close(l.done)
	every := lookEvery
	if l.attached {
		every = attachEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	again := l.link.nc.StatusChanged(nats.CONNECTED)
	defer l.link.nc.RemoveStatusListener(again)
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-again:
		}
		err := l.refresh(ctx)
		if err != nil && l.attached { // whoever follows the log reads, and so hears of it
			l.mu.Lock()
			l.at.notify()
			l.mu.Unlock()
		}
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && !errors.Is(err, errLost) && err.Error() != said:
			said = err.Error()
			l.link.log.Warn().Err(err).Str("server", l.link.name()).Msg("cannot see what the journal's server holds")
		}
	}
}

// refresh brings the view up to date, unless a write is about to do so.
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

// reread is the refresh of a log that only reads. The table is read after the bounds: it is written before the first record
// that it is needed for.
func (l *Log) reread(ctx context.Context) error { return l.rereadAll(ctx, false) }

// rereadAll reads the table also, if asked to, where the stream is as it was: before a write, for numbers may have been reserved since.
func (l *Log) rereadAll(ctx context.Context, always bool) error {
	generation := l.link.generation()
	info, err := l.link.info(ctx, StreamName, nil)
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
		return l.link.fail(fmt.Sprintf("reserve the numbers up to %d", last), err)
	}
	v := l.snapshot()
	if last <= v.top() {
		return nil
	}
	if err := l.adopt(ctx, v.table.begin(v.last, last, v.top()+1, time.Now())); err != nil {
		return l.link.fail(fmt.Sprintf("reserve the numbers up to %d", last), err)
	}
	return nil
}

// Gaps implements [journal.Log]. A record that somebody deleted on the server, or that the server found damaged, is one.
func (l *Log) Gaps(ctx context.Context) ([]journal.Span, error) {
	v := l.snapshot()
	info, err := l.link.info(ctx, StreamName, map[string]any{"deleted_details": true})
	if err != nil && !noStream(err) {
		return nil, l.link.fail("look for gaps in the journal", err)
	}
	var spans []journal.Span
	for _, g := range v.table.Gaps {
		spans = append(spans, g.Span)
	}
	if err == nil {
		for _, sequence := range info.State.Deleted {
			if sequence <= v.last {
				n := v.table.number(sequence)
				spans = append(spans, journal.Span{First: n, Last: n})
			}
		}
	}
	return joined(spans), nil
}

// joined puts spans in order, and makes one of those that touch.
func joined(spans []journal.Span) []journal.Span {
	slices.SortFunc(spans, func(a, b journal.Span) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	var out []journal.Span
	for _, s := range spans {
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
		return l.link.fail("drop old records of the journal", err)
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
	// All records below low are older than t; the one at high, if there is one, is not.
	low, high := v.first, v.last+1
	for first := true; low < high; first = false {
		middle := low + (high-low)/2
		if first {
			middle = low // most often there is nothing to drop
		}
		msg, err := l.link.get(ctx, middle, true)
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
	if err := l.link.api(ctx, "STREAM.PURGE."+StreamName, natsjs.StreamPurgeRequest{Sequence: low}, nil); err != nil {
		return err
	}
	l.mu.Lock()
	l.at.first = low
	l.at.notify()
	l.mu.Unlock()
	return l.verify(ctx)
}
