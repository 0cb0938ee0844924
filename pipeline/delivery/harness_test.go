package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

func TestMain(m *testing.M) {
	if !runChild() {
		goleak.VerifyTestMain(m)
	}
}

// rig is a journal on files with a dispatcher.
type rig struct {
	t       testing.TB
	dir     string
	stack   *stacktest.Stack
	state   *statefile.State
	journal *journal.Journal
	home    *Dispatcher
	lines   *logLines // what was logged
	trace   func(pipeline.Stage)
	cursors string // the file of the cursors, if it is another
	stop    func()
}

func newRig(t testing.TB, dir string, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, lines: new(logLines)}
	for _, c := range change {
		c(r)
	}
	stack, err := stacktest.Open(t.Context(), stacktest.Options{
		Dir: dir, SegmentSize: 1 << 20, Logger: r.logger(), Change: func(c *journal.Config) { c.OnStage = r.trace },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.stack, r.state, r.journal = stack, stack.State, stack.Journal
	r.home, err = New(t.Context(), Config{Journal: r.journal, CursorFile: r.cursorFile(), Logger: r.logger(), Metrics: stack.Metrics, OnStage: r.trace})
	if err != nil {
		t.Fatal(err)
	}
	stack.Run(t, r.home.Run)
	r.stop = stack.Stop
	return r
}

func (r *rig) cursorFile() string { return cmp.Or(r.cursors, filepath.Join(r.dir, "cursors")) }

func (r *rig) logger() zerolog.Logger {
	return zerolog.New(zerolog.MultiLevelWriter(zerolog.NewTestWriter(r.t), r.lines)).Level(zerolog.InfoLevel)
}

// logLines collects a log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) has(part string) bool { return l.count(part) > 0 }

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// intake is the name of an account.
func (r *rig) intake(account string) string { return account }

// newEvent makes an event whose title is its number.
func newEvent(account string, origin pipeline.Origin, n int) pipeline.Event {
	return stacktest.Event(account, origin, time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC), n)
}

// entryOf is the entry of an event.
func entryOf(t testing.TB, e *pipeline.Event) journal.Entry {
	t.Helper()
	return stacktest.Entry(t, e)
}

// send hands over treats from..to-1 to be journaled.
func (r *rig) send(account string, from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		e := newEvent(account, pipeline.OriginLive, n)
		if err := r.journal.Enqueue(r.t.Context(), journal.Item{Entry: entryOf(r.t, &e), Received: time.Now()}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// put journals entries, and returns their numbers when they are on disk.
func (r *rig) put(entries ...journal.Entry) []uint64 {
	r.t.Helper()
	numbers, err := r.journal.Put(r.t.Context(), entries...)
	if err != nil {
		r.t.Fatal(err)
	}
	return numbers
}

// count waits until the counter of that name reaches want, summed over its labels.
func (r *rig) count(name string, want float64) {
	r.t.Helper()
	r.stack.Count(r.t, name, want)
}

// kept is how many entries the journal has.
func (r *rig) kept() int {
	_, next := r.journal.Bounds()
	return int(next) - 1
}

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	return r.stack.Metric(r.t, name)
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	stacktest.Eventually(r.t, check)
}

// retries are what is kept of a sink's events that failed.
func (r *rig) retries(sink string) []schedule.Retry {
	r.t.Helper()
	all, damaged, err := schedule.NewStore(r.state, sink).All(r.t.Context())
	if err != nil || damaged > 0 {
		r.t.Fatalf("%d retries are damaged, %v", damaged, err)
	}
	var list []schedule.Retry
	for _, one := range all {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b schedule.Retry) int { return int(a.Seq) - int(b.Seq) })
	return list
}

// cursor is what the state says of a lane's position.
func (r *rig) cursor(sink string) (c journal.Cursor) {
	r.t.Helper()
	value, _, err := r.state.Get(r.t.Context(), journal.CursorKey(sink))
	if err == nil {
		err = json.Unmarshal(value, &c)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// place is the cursor of a lane that is open.
func (r *rig) place(sink string) journal.Cursor { return r.home.Cursors()[sink] }

// letters are the dead letters.
func (r *rig) letters() (all []journal.DeadLetter, err error) {
	for letter, err := range r.journal.DeadLetters(r.t.Context(), journal.DeadLetterFilter{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, letter)
	}
	return all, nil
}

// A box is a sink that keeps what it is given, in memory, and does as its rule says before.
type box struct {
	rule   func(ctx context.Context, r pipeline.Record) error // nil: accepts all
	single bool                                               // accept one record at a time

	mu     sync.Mutex
	got    map[string][]pipeline.Record
	closed int
}

func (b *box) Deliver(ctx context.Context, records []pipeline.Record) (int, error) {
	for i, r := range records {
		if b.rule != nil {
			if err := b.rule(ctx, r); err != nil {
				return i, err
			}
		}
		b.mu.Lock()
		if b.got == nil {
			b.got = make(map[string][]pipeline.Record)
		}
		b.got[r.Account] = append(b.got[r.Account], r)
		b.mu.Unlock()
		if b.single {
			return 1, nil
		}
	}
	return len(records), nil
}

func (b *box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

// count is how many events the box has.
func (b *box) count() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, all := range b.got {
		n += len(all)
	}
	return n
}

// titles of what the box has of an account, in the order of delivery.
func (b *box) titles(t testing.TB, account string) (titles []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.got[account] {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		titles = append(titles, *e.Data.Title)
	}
	return titles
}

func wantTitles(from, to int) []string { return stacktest.Titles(from, to) }

// holds waits until the box has exactly these titles of the account.
func (r *rig) holds(b *box, account string, want []string) {
	r.t.Helper()
	r.eventually(func() error {
		if got := b.titles(r.t, account); !slices.Equal(got, want) {
			return fmt.Errorf("the sink has %d events of %s, want %d (first difference at %d); %s", len(got), account, len(want), firstDifference(got, want), r.lanes())
		}
		return nil
	})
}

// lane runs a lane until the test ends or stop is called, which returns what Run returned.
func (r *rig) lane(sink pipeline.Sink, cfg LaneConfig) (l *Lane, stop func(drain bool) error) {
	r.t.Helper()
	cfg.Log = r.logger()
	if cfg.Sink == "" {
		cfg.Sink = "box"
	}
	if cfg.Retry == (schedule.Policy{}) {
		cfg.Retry = schedule.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond}
	}
	if cfg.Probe == (breaker.Policy{}) {
		cfg.Probe = breaker.Policy{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Alone: 100 * time.Millisecond}
	}
	l, err := r.home.Open(r.t.Context(), sink, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func(drain bool) error {
		once.Do(func() {
			if drain {
				l.Drain()
			} else {
				cancel(errors.New("the test stops the lane"))
			}
			select {
			case result = <-done:
			case <-time.After(30 * time.Second):
				r.t.Error("the lane did not end")
			}
			cancel(nil)
		})
		return result
	}
	r.t.Cleanup(func() { _ = stop(false) })
	return l, stop
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// lanes says how far the lanes are.
func (r *rig) lanes() string {
	_, next := r.journal.Bounds()
	text := fmt.Sprintf("journal at %d, reader at %d", next, r.home.reader.position().Next)
	for sink, c := range r.home.Cursors() {
		text += fmt.Sprintf("; %s at %d, open %v, missing %v", sink, c.Next, c.Open, c.Missing)
	}
	return text
}
