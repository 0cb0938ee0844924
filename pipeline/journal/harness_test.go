package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a journal on files, with everything it needs.
type rig struct {
	t        testing.TB
	dir      string
	log      *filelog.Log
	state    *statefile.State
	attempts *filelog.Log
	journal  *journal.Journal
	reg      *prometheus.Registry
	metrics  *pipeline.Metrics
	stop     func()
}

// newRig opens the journal in a folder and runs its committer until the test ends or stop is called.
func newRig(t testing.TB, dir string, change ...func(*journal.Config)) *rig {
	t.Helper()
	r := openRig(t, dir, change...)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.journal.Run(ctx) }()
	closeFiles := r.stop
	r.stop = sync.OnceFunc(func() {
		r.journal.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("journal: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the journal did not end")
		}
		cancel()
		closeFiles()
	})
	return r
}

// openRig opens the journal and has nobody run it.
func openRig(t testing.TB, dir string, change ...func(*journal.Config)) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, reg: prometheus.NewRegistry()}
	r.metrics = pipeline.NewMetrics(r.reg)
	r.openFiles()
	cfg := journal.Config{
		Log: r.log, State: r.state, Attempts: r.attempts, Retention: time.Hour, Logger: testLog(t), Metrics: r.metrics,
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if r.journal, err = journal.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r.stop = sync.OnceFunc(func() {
		if err := errors.Join(r.log.Close(), r.state.Close(), r.attempts.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { r.stop() })
	return r
}

// logOptions make segments small, so that there are several.
func logOptions(t testing.TB, dir string) filelog.Options {
	return filelog.Options{Dir: filepath.Join(dir, "journal"), SegmentSize: 256 << 10, Log: testLog(t)}
}

func (r *rig) openFiles() {
	r.t.Helper()
	var err error
	if r.log, err = filelog.Open(r.t.Context(), logOptions(r.t, r.dir)); err == nil {
		r.state, err = statefile.Open(r.t.Context(), statefile.Options{Dir: filepath.Join(r.dir, "state"), Log: testLog(r.t)})
	}
	if err == nil {
		r.attempts, err = filelog.Open(r.t.Context(), filelog.Options{Dir: filepath.Join(r.dir, "attempts"), NoSync: true, Log: testLog(r.t)})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func testLog(t testing.TB) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
}

// newEvent makes an event whose title is its number.
func newEvent(account string, origin pipeline.Origin, at time.Time, n int) pipeline.Event {
	title, sender := fmt.Sprintf("t%06d", n), "s"
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, Source: "/treatstream/" + account, Type: pipeline.EventType, Origin: origin,
		Time: at.UTC().Truncate(time.Millisecond), RecordedTime: time.Now().UTC().Truncate(time.Millisecond), DataContentType: pipeline.DataContentType,
		Data: pipeline.Data{Account: account, Provider: "treatstream", Title: &title, Sender: &sender},
	}
	e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), uint64(n))
	return e
}

func treatItem(t testing.TB, e *pipeline.Event) journal.Item {
	t.Helper()
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	return journal.Item{Received: time.Now(), Entry: journal.Entry{
		Kind: journal.Treat, ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Repeat: 1, Data: line,
	}}
}

// put journals an event of that origin and time, and returns when it is on disk.
func (r *rig) put(account string, origin pipeline.Origin, at time.Time, n int) (pipeline.Event, uint64) {
	r.t.Helper()
	e := newEvent(account, origin, at, n)
	numbers, err := r.journal.Put(r.t.Context(), treatItem(r.t, &e).Entry)
	if err != nil {
		r.t.Fatal(err)
	}
	return e, numbers[0]
}

// send journals the events from..to-1, and returns when they are handed over.
func (r *rig) send(account string, from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		e := newEvent(account, pipeline.OriginLive, time.Now(), n)
		if err := r.journal.Enqueue(r.t.Context(), treatItem(r.t, &e)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// record reads an event of the journal.
func (r *rig) record(number uint64) pipeline.Record {
	r.t.Helper()
	rec, err := r.journal.Get(r.t.Context(), number)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec.Delivery()
}

// records reads the whole journal.
func (r *rig) records() (all []journal.Record) {
	r.t.Helper()
	return readAll(r.t, r.journal)
}

func readAll(t testing.TB, log interface {
	Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error)
},
) (all []journal.Record) {
	t.Helper()
	for at := uint64(1); ; {
		some, err := log.Read(t.Context(), at, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
		at = some[len(some)-1].Number + 1
	}
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
	r.eventually(func() error {
		if got := r.metric(name); got != want {
			return fmt.Errorf("%s = %v, want %v", name, got, want)
		}
		return nil
	})
}

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	eventually(r.t, check)
}

func eventually(t testing.TB, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
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

func wantTitles(from, to int) (titles []string) {
	for n := from; n < to; n++ {
		titles = append(titles, fmt.Sprintf("t%06d", n))
	}
	return titles
}
