package attempts_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a log of attempts in files.
type rig struct {
	*stacktest.Stack
	t   testing.TB
	dir string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir := t.TempDir()
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: dir, Attempts: true, Logger: stacktest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Stack: stack, t: t, dir: dir}
}

// run runs a log of attempts until stop is called.
func (r *rig) run() (l *attempts.Log, stop func()) {
	r.t.Helper()
	l, err := attempts.Open(r.t.Context(), attempts.Config{Log: r.Attempts, Logger: stacktest.Logger(r.t), Metrics: r.Metrics})
	if err != nil {
		r.t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx := context.WithoutCancel(r.t.Context())
	running.Go(func() { l.Run(ctx) })
	return l, func() {
		l.Close()
		running.Wait()
	}
}

func (r *rig) attemptsOf(id string) (all []pipeline.Attempt) {
	r.t.Helper()
	for a, err := range attempts.NewReader(r.Attempts).Of(r.t.Context(), id, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}
