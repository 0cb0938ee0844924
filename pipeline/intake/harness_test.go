package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a journal in files with its index, and with everything it needs.
type rig struct {
	t       testing.TB
	dir     string
	log     *filelog.Log
	state   *statefile.State
	index   *index.Index
	journal *journal.Journal
	reg     *prometheus.Registry
	metrics *pipeline.Metrics
	disk    sync.Mutex // held while nothing is to be committed
	stop    func()
}

func newRig(t testing.TB, dir string) *rig { return newRigKept(t, dir, time.Hour) }

// newRigKept opens a journal that is kept for so long, as the daemon does, and runs it until the test ends.
func newRigKept(t testing.TB, dir string, retention time.Duration) *rig {
	t.Helper()
	reg := prometheus.NewRegistry()
	r := &rig{t: t, dir: dir, reg: reg, metrics: pipeline.NewMetrics(reg)}
	if err := r.open(t.Context(), retention); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.journal.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		r.journal.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("journal: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the journal did not end")
		}
		cancel()
		r.close()
	})
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) open(ctx context.Context, retention time.Duration) (err error) {
	if r.log, err = filelog.Open(ctx, filelog.Options{Dir: filepath.Join(r.dir, "log"), Log: zerolog.Nop()}); err != nil {
		return err
	}
	if r.state, err = statefile.Open(ctx, statefile.Options{Dir: filepath.Join(r.dir, "state"), Log: zerolog.Nop()}); err != nil {
		return err
	}
	r.index, err = index.Open(ctx, index.Config{Dir: filepath.Join(r.dir, "index"), Log: r.log, Retention: retention, Logger: testLog(r.t)})
	if err != nil {
		return err
	}
	if _, next := r.log.Bounds(); r.index.Through() >= next {
		if err := r.log.Reserve(ctx, r.index.Through()); err != nil {
			return err
		}
	}
	r.journal, err = journal.Open(ctx, journal.Config{
		Log: r.log, State: r.state, Retention: retention, Logger: testLog(r.t), Metrics: r.metrics,
		Committed: func(records []journal.Record) {
			r.disk.Lock()
			defer r.disk.Unlock()
			r.index.Committed(records)
		},
	})
	return err
}

func (r *rig) close() {
	for _, c := range []interface{ Close() error }{r.index, r.state, r.log} {
		if err := c.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

func testLog(t testing.TB) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
}

// intakeOf makes an intake that is not caught up yet.
func (r *rig) intakeOf(account string, log zerolog.Logger) *Intake {
	return New(Config{
		Normalizer: Normalizer{Account: account, Provider: "treatstream", Location: time.UTC},
		Journal:    r.journal, Index: r.index, Logger: log, Metrics: r.metrics,
	})
}

func (r *rig) intake(account string) *Intake {
	r.t.Helper()
	in := r.intakeOf(account, testLog(r.t))
	if err := in.CatchUp(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return in
}

// payload is the n-th treat of a test.
func payload(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"sender":"s","title":"t%06d","date_created":"2026-07-16 21:00:00"}`, n))
}

// send takes treats from..to-1 in.
func (r *rig) send(in *Intake, from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		r.live(in, payload(n))
	}
}

func (r *rig) live(in *Intake, payload json.RawMessage) {
	r.t.Helper()
	if err := in.Handle(r.t.Context(), []json.RawMessage{payload}, time.Now()); err != nil {
		r.t.Fatal(err)
	}
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
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	r.t.Fatal(err)
}

// records reads all of the journal.
func (r *rig) records() (all []journal.Record) {
	r.t.Helper()
	for at := uint64(1); ; {
		records, err := r.journal.Read(r.t.Context(), at, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		all = append(all, records...)
		at = records[len(records)-1].Number + 1
	}
}

// journaled reads the events of an account in the journal.
func (r *rig) journaled(account string) (events []pipeline.Event) {
	r.t.Helper()
	for _, one := range r.records() {
		if one.Kind != journal.Treat || one.Account != account {
			continue
		}
		e, err := pipeline.Record{Line: one.Data}.Event()
		if err != nil {
			r.t.Fatal(err)
		}
		if e.ID != one.ID || e.Origin != one.Origin {
			r.t.Errorf("entry %s of origin %s holds the event %s of origin %s", one.ID, one.Origin, e.ID, e.Origin)
		}
		events = append(events, e)
	}
	return events
}

func titles(events []pipeline.Event) (titles []string) {
	for _, e := range events {
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

// flipIn changes a byte in the middle of a text that stands in one file of a stopped rig's log.
func flipIn(t *testing.T, dir string, text []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if stat, err := os.Stat(name); err != nil || stat.IsDir() {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, text); at >= 0 {
			data[at+len(text)/2] ^= 1
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the text is in no file of the log")
}
