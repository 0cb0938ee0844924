package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// counter is a sink that accepts all.
type counter struct {
	n        atomic.Int64
	together bool
}

func (c *counter) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	c.n.Add(int64(len(records)))
	return len(records), nil
}

func (c *counter) Close() error { return nil }

func (c *counter) BatchesAccounts() bool { return c.together }

// Events through the journal on files to a sink that accepts all at once. Compare with no lane for what the lane costs.
func BenchmarkLane(b *testing.B) {
	for _, bench := range []struct {
		name            string
		lanes, accounts int
		together        bool
	}{{"none", 0, 1, false}, {"one", 1, 1, false}, {"1000 accounts", 1, 1000, false}, {"1000 accounts together", 1, 1000, true}} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRig(b, b.TempDir())
			sink := &counter{together: bench.together}
			for range bench.lanes {
				l, err := r.home.Open(b.Context(), sink, LaneConfig{Sink: "box", Log: zerolog.Nop()})
				if err != nil {
					b.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- l.Run(context.WithoutCancel(b.Context())) }()
				defer func() {
					l.Drain()
					if err := <-done; err != nil {
						b.Error(err)
					}
				}()
			}
			entries := make([]journal.Entry, bench.accounts)
			for i := range entries {
				e := newEvent(fmt.Sprint("acc", i), pipeline.OriginLive, i)
				entries[i] = entryOf(b, &e)
			}
			time.Sleep(100 * time.Millisecond)
			b.ReportAllocs()
			b.ResetTimer()
			var wrote atomic.Int64
			for n := range b.N {
				e := entries[n%len(entries)]
				e.ID = fmt.Sprint("trt_", n)
				if err := r.journal.Enqueue(b.Context(), journal.Item{Entry: e, Received: time.Now(), Done: func(uint64, error) { wrote.Add(1) }}); err != nil {
					b.Fatal(err)
				}
			}
			for wrote.Load() < int64(b.N) || bench.lanes > 0 && sink.n.Load() < int64(b.N) {
				time.Sleep(time.Millisecond)
			}
		})
	}
}
