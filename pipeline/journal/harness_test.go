package journal_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a journal on files, with everything it needs.
type rig struct {
	*stacktest.Stack
	t    testing.TB
	dir  string
	stop func()
}

// newRig opens the journal in a folder and runs its committer until the test ends or stop is called.
func newRig(t testing.TB, dir string, change ...func(*journal.Config)) *rig {
	t.Helper()
	r := openStack(t, dir, change)
	r.Run(t)
	r.stop = r.Stop
	return r
}

// openRig opens the journal and has nobody run it.
func openRig(t testing.TB, dir string, change ...func(*journal.Config)) *rig {
	t.Helper()
	r := openStack(t, dir, change)
	r.stop = sync.OnceFunc(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func openStack(t testing.TB, dir string, change []func(*journal.Config)) *rig {
	t.Helper()
	stack, err := stacktest.Open(t.Context(), stacktest.Options{
		Dir: dir, SegmentSize: segmentSize, Attempts: true, Logger: stacktest.Logger(t), Change: func(c *journal.Config) {
			for _, f := range change {
				f(c)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Stack: stack, t: t, dir: dir}
}

// segmentSize is small, so that there are several segments.
const segmentSize = 256 << 10

// logOptions are those of a rig's log.
func logOptions(t testing.TB, dir string) filelog.Options {
	return filelog.Options{Dir: filepath.Join(dir, "journal"), SegmentSize: segmentSize, Log: stacktest.Logger(t)}
}

func treatItem(t testing.TB, e *pipeline.Event) journal.Item {
	t.Helper()
	return journal.Item{Received: time.Now(), Entry: stacktest.Entry(t, e)}
}

// put journals an event of that origin and time, and returns when it is on disk.
func (r *rig) put(account string, origin pipeline.Origin, at time.Time, n int) (pipeline.Event, uint64) {
	r.t.Helper()
	e := stacktest.Event(account, origin, at, n)
	numbers, err := r.Journal.Put(r.t.Context(), treatItem(r.t, &e).Entry)
	if err != nil {
		r.t.Fatal(err)
	}
	return e, numbers[0]
}

// send journals the events from..to-1, and returns when they are handed over.
func (r *rig) send(account string, from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		e := stacktest.Event(account, pipeline.OriginLive, time.Now(), n)
		if err := r.Journal.Enqueue(r.t.Context(), treatItem(r.t, &e)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// record reads an event of the journal.
func (r *rig) record(number uint64) pipeline.Record {
	r.t.Helper()
	rec, err := r.Journal.Get(r.t.Context(), number)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec.Delivery()
}

// records reads the whole journal.
func (r *rig) records() []journal.Record {
	r.t.Helper()
	return r.Records(r.t)
}

// handed are the records that a lane of that sink would be handed, in order.
func (r *rig) handed(sink string) (all []pipeline.Record) {
	r.t.Helper()
	for _, rec := range r.records() {
		if rec.Kind == journal.Treat || rec.Kind == journal.Resend && rec.Sink == sink {
			all = append(all, rec.Delivery())
		}
	}
	return all
}

// resent are those that were put before that sink alone.
func (r *rig) resent(sink string) (all []pipeline.Record) {
	r.t.Helper()
	for _, rec := range r.records() {
		if rec.Kind == journal.Resend && rec.Sink == sink {
			all = append(all, rec.Delivery())
		}
	}
	return all
}

// count waits until the counter of that name reaches want, summed over its labels.
func (r *rig) count(name string, want float64) {
	r.t.Helper()
	r.Count(r.t, name, want)
}

// attemptLog runs a log of attempts until the test ends or stop is called.
func (r *rig) attemptLog() (l *attempts.Log, stop func()) {
	r.t.Helper()
	l, err := attempts.Open(r.t.Context(), attempts.Config{Log: r.Attempts, Logger: stacktest.Logger(r.t), Metrics: r.Metrics})
	if err != nil {
		r.t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx := context.WithoutCancel(r.t.Context())
	running.Go(func() { l.Run(ctx) })
	stop = func() {
		l.Close()
		running.Wait()
	}
	closeRig := r.stop
	r.stop = func() {
		stop()
		closeRig()
	}
	return l, stop
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	stacktest.Eventually(r.t, check)
}

func titlesOf(t testing.TB, records []pipeline.Record) (titles []string) {
	t.Helper()
	for _, rec := range records {
		var e pipeline.Event
		if err := json.Unmarshal(rec.Line, &e); err != nil {
			t.Fatal(err)
		}
		titles = append(titles, *e.Data.Title)
	}
	return titles
}
