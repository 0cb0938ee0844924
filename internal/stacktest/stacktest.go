// Package stacktest opens a real journal in files with its state and, on request, its log of attempts and its index,
// for the tests of packages that use them. Start reading at [Open].
package stacktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// patience bounds the wait for an expected condition on a busy machine.
const patience = time.Minute

// Options configure a stack.
type Options struct {
	// Dir has the folders "journal" and "state" and, on request, "attempts" and "index".
	Dir         string
	SegmentSize int64         // of the log; 0: the engine's default
	Retention   time.Duration // 0: an hour
	Attempts    bool          // open a log of attempts
	Index       bool          // open an index
	Logger      zerolog.Logger
	// Change, if not nil, changes the configuration before the journal is opened.
	Change func(*journal.Config)
}

// Stack is an open journal with everything it needs. Attempts and Index are nil unless requested.
type Stack struct {
	Log      *filelog.Log
	State    *statefile.State
	Attempts *filelog.Log
	Index    *index.Index
	Journal  *journal.Journal
	Registry *prometheus.Registry
	Metrics  *pipeline.Metrics

	written func()
	stop    func()
}

// Open opens a stack, as the daemon does. It does not run the journal.
func Open(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{Registry: prometheus.NewRegistry()}
	s.Metrics = pipeline.NewMetrics(s.Registry)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	o.Retention = cmp.Or(o.Retention, time.Hour)
	if s.Log, err = filelog.Open(ctx, filelog.Options{Dir: filepath.Join(o.Dir, "journal"), SegmentSize: o.SegmentSize, Log: o.Logger}); err != nil {
		return nil, err
	}
	if s.State, err = statefile.Open(ctx, statefile.Options{Dir: filepath.Join(o.Dir, "state"), Log: o.Logger}); err != nil {
		return nil, err
	}
	cfg := journal.Config{Log: s.Log, State: s.State, Retention: o.Retention, Logger: o.Logger, Metrics: s.Metrics}
	if o.Attempts {
		if s.Attempts, err = filelog.Open(ctx, filelog.Options{Dir: filepath.Join(o.Dir, "attempts"), NoSync: true, Log: o.Logger}); err != nil {
			return nil, err
		}
		cfg.Attempts = attempts.NewReader(s.Attempts)
	}
	if o.Index {
		if err := s.openIndex(ctx, o); err != nil {
			return nil, err
		}
		cfg.Committed = s.Index.Committed
	}
	if o.Change != nil {
		o.Change(&cfg)
	}
	s.Journal, err = journal.Open(ctx, cfg)
	return s, err
}

func (s *Stack) openIndex(ctx context.Context, o Options) (err error) {
	s.Index, err = index.Open(ctx, index.Config{Dir: filepath.Join(o.Dir, "index"), Log: s.Log, Retention: o.Retention, Logger: o.Logger})
	if err != nil {
		return err
	}
	if _, next := s.Log.Bounds(); s.Index.Through() >= next {
		return s.Log.Reserve(ctx, s.Index.Through())
	}
	return nil
}

// Close closes the files of a stack that is not running.
func (s *Stack) Close() error {
	var errs []error
	if s.Index != nil {
		errs = append(errs, s.Index.Close())
	}
	if s.Attempts != nil {
		errs = append(errs, s.Attempts.Close())
	}
	if s.State != nil {
		errs = append(errs, s.State.Close())
	}
	if s.Log != nil {
		errs = append(errs, s.Log.Close())
	}
	return errors.Join(errs...)
}

// Run runs the journal and the functions beside until the test ends or Stop is called. The functions end after the
// journal, with their context.
func (s *Stack) Run(t testing.TB, beside ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	wait := func(what string, done <-chan error) {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Errorf("%s did not end", what)
		}
	}
	start := func(run func(context.Context) error) <-chan error {
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		return done
	}
	writer := start(s.Journal.Run)
	others := make([]<-chan error, len(beside))
	for i, run := range beside {
		others[i] = start(run)
	}
	s.written = sync.OnceFunc(func() {
		s.Journal.Close()
		wait("the journal", writer)
	})
	s.stop = sync.OnceFunc(func() {
		s.written()
		cancel()
		for _, done := range others {
			wait("what runs beside the journal", done)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
}

// Written waits until everything enqueued is on disk. Nothing may be enqueued afterwards.
func (s *Stack) Written() { s.written() }

// Stop stops what Run has started, and closes everything.
func (s *Stack) Stop() { s.stop() }

// Metric returns the value of a metric, summed over its labels.
func (s *Stack) Metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	families, err := s.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// Count waits until a metric, summed over its labels, reaches want.
func (s *Stack) Count(t testing.TB, name string, want float64) {
	t.Helper()
	Eventually(t, func() error {
		if got := s.Metric(t, name); got != want {
			return fmt.Errorf("%s = %v, want %v", name, got, want)
		}
		return nil
	})
}

// Records reads the whole journal.
func (s *Stack) Records(t testing.TB) []journal.Record {
	t.Helper()
	return ReadAll(t, s.Journal)
}

// ReadAll reads a whole log or journal in batches.
func ReadAll(t testing.TB, log interface {
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

// Eventually retries check until it returns no error.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Logger logs to the output of a test.
func Logger(t testing.TB) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
}
