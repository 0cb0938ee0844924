package sinks_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// stack is what lies between the socket and a sink: a journal in files with its index, and the dispatcher of its lanes.
type stack struct {
	t       testing.TB
	journal *journal.Journal
	index   *index.Index
	lanes   *delivery.Dispatcher
	metrics *pipeline.Metrics
	written func() // everything that was enqueued is on disk; nothing may be enqueued afterwards
}

var errTestOver = errors.New("the test is over")

// newStack opens one in a folder of its own, and runs it until the test ends. Lanes have to end before.
func newStack(t testing.TB) *stack {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := filelog.Open(ctx, filelog.Options{Dir: filepath.Join(dir, "journal"), Log: zerolog.Nop()})
	must(err)
	state, err := statefile.Open(ctx, statefile.Options{Dir: filepath.Join(dir, "journal"), Log: zerolog.Nop()})
	must(err)
	s := &stack{t: t, metrics: pipeline.NewMetrics(prometheus.NewRegistry())}
	s.index, err = index.Open(ctx, index.Config{Dir: filepath.Join(dir, "index"), Log: log, Retention: time.Hour, Logger: zerolog.Nop()})
	must(err)
	s.journal, err = journal.Open(ctx, journal.Config{
		Log: log, State: state, Retention: time.Hour, Committed: s.index.Committed, Logger: zerolog.Nop(), Metrics: s.metrics,
	})
	must(err)
	s.lanes, err = delivery.New(ctx, delivery.Config{
		Journal: s.journal, CursorFile: filepath.Join(dir, "cursors"), Logger: zerolog.Nop(), Metrics: s.metrics,
	})
	must(err)
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var writer, reader sync.WaitGroup
	writer.Go(func() { _ = s.journal.Run(running) })
	reader.Go(func() { _ = s.lanes.Run(running) })
	s.written = sync.OnceFunc(func() {
		s.journal.Close()
		writer.Wait()
	})
	t.Cleanup(func() {
		s.written()
		stop(errTestOver)
		reader.Wait()
		for _, end := range []func() error{s.index.Close, state.Close, log.Close} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// intake makes the intake of an account.
func (s *stack) intake(account string) *intake.Intake {
	s.t.Helper()
	in := intake.New(intake.Config{
		Normalizer: intake.Normalizer{Account: account, Provider: "treatstream", Location: time.UTC},
		Journal:    s.journal, Index: s.index, Logger: zerolog.Nop(), Metrics: s.metrics,
	})
	if err := in.CatchUp(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return in
}
