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

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a journal in files with its index, and with everything it needs.
type rig struct {
	*stacktest.Stack
	t    testing.TB
	dir  string
	disk sync.Mutex // held while nothing is to be committed
	stop func()
}

func newRig(t testing.TB, dir string) *rig { return newRigKept(t, dir, time.Hour) }

// newRigKept opens a journal that is kept for so long, as the daemon does, and runs it until the test ends.
func newRigKept(t testing.TB, dir string, retention time.Duration) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir}
	if err := r.open(t.Context(), retention); err != nil {
		t.Fatal(err)
	}
	r.Run(t)
	r.stop = r.Stop
	return r
}

func (r *rig) open(ctx context.Context, retention time.Duration) (err error) {
	r.Stack, err = stacktest.Open(ctx, stacktest.Options{
		Dir: r.dir, Retention: retention, Index: true, Logger: stacktest.Logger(r.t), Change: func(c *journal.Config) {
			note := c.Committed
			c.Committed = func(records []journal.Record) {
				r.disk.Lock()
				defer r.disk.Unlock()
				note(records)
			}
		},
	})
	return err
}

func (r *rig) close() {
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
}

// intakeOf makes an intake that is not caught up yet.
func (r *rig) intakeOf(account string, log zerolog.Logger) *Intake {
	return New(Config{
		Normalizer: Normalizer{Account: account, Provider: "treatstream", Location: time.UTC},
		Journal:    r.Journal, Index: r.Index, Logger: log, Metrics: r.Metrics,
	})
}

func (r *rig) intake(account string) *Intake {
	r.t.Helper()
	in := r.intakeOf(account, stacktest.Logger(r.t))
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
	r.Count(r.t, name, want)
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	stacktest.Eventually(r.t, check)
}

// records reads all of the journal.
func (r *rig) records() []journal.Record {
	r.t.Helper()
	return r.Records(r.t)
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

// flipIn changes a byte in the middle of a text that stands in one file of a stopped rig's log.
func flipIn(t *testing.T, dir string, text []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
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
