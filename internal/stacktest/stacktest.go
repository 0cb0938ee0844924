// Package stacktest opens what lies between the socket and the lanes, for the tests of what uses it: a journal in files, with its state and, if
// wanted, its log of attempts and its index. Everything is the real thing.
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

// patience is how long something that is expected may take on a busy machine.
const patience = time.Minute

// Options say what a stack has.
type Options struct {
	// Dir holds the folders "journal" and "state" and, if wanted, "attempts" and "index".
	Dir         string
	SegmentSize int64         // of the log; the engine's default if it is 0
	Retention   time.Duration // an hour if it is 0
	Attempts    bool          // there is a log of attempts
	Index       bool          // there is an index, which notes what is committed
	Logger      zerolog.Logger
	// Change changes the configuration of the journal before it is opened, if it is not nil.
	Change func(*journal.Config)
}

// Stack is an open journal with all that it stands on. Attempts and Index are nil if they were not wanted.
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

// Open opens a stack, as the daemon does. Nobody runs its journal yet.
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

// Close closes the files of a stack that nobody runs.
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

// Run runs the journal, and what is to run beside it, until the test ends or Stop is called. What runs beside it ends after it, when its context does.
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

// Written returns when everything that was enqueued is on disk. Nothing may be enqueued afterwards.
func (s *Stack) Written() { s.written() }

// Stop ends what Run has begun, and closes everything.
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

// Records reads all of the journal.
func (s *Stack) Records(t testing.TB) []journal.Record {
	t.Helper()
	return ReadAll(t, s.Journal)
}

// ReadAll reads all of a log or journal, in parts.
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

// Eventually waits until check returns no error.
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
