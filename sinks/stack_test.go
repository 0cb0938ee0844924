package sinks_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake"
)

// stack is what lies between the socket and a sink: a journal in files with its index, and the dispatcher of its lanes.
type stack struct {
	*stacktest.Stack
	t     testing.TB
	lanes *delivery.Dispatcher
}

var errTestOver = errors.New("the test is over")

// newStack opens one in a folder of its own, and runs it until the test ends. Lanes have to end before.
func newStack(t testing.TB) *stack {
	t.Helper()
	dir := t.TempDir()
	opened, err := stacktest.Open(t.Context(), stacktest.Options{Dir: dir, Index: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{Stack: opened, t: t}
	s.lanes, err = delivery.New(t.Context(), delivery.Config{
		Journal: s.Journal, CursorFile: filepath.Join(dir, "cursors"), Logger: zerolog.Nop(), Metrics: s.Metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t, s.lanes.Run)
	return s
}

// intake makes the intake of an account.
func (s *stack) intake(account string) *intake.Intake {
	s.t.Helper()
	in := intake.New(intake.Config{
		Normalizer: intake.Normalizer{Account: account, Provider: "treatstream", Location: time.UTC},
		Journal:    s.Journal, Index: s.Index, Logger: zerolog.Nop(), Metrics: s.Metrics,
	})
	if err := in.CatchUp(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return in
}
