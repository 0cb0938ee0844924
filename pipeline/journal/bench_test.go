package journal_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// benchJournal runs a journal on files for a benchmark.
func benchJournal(b *testing.B) (j *journal.Journal, stop func()) {
	b.Helper()
	stack, err := stacktest.Open(b.Context(), stacktest.Options{Dir: b.TempDir(), Change: func(c *journal.Config) { c.Committed = func([]journal.Record) {} }})
	if err != nil {
		b.Fatal(err)
	}
	stack.Run(b)
	return stack.Journal, stack.Stop
}

// BenchmarkJournal hands events over as fast as they are taken, while one reader follows. ns/op is the wall-clock time of an event.
func BenchmarkJournal(b *testing.B) {
	j, stop := benchJournal(b)
	defer stop()
	e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), 1)
	item := treatItem(b, &e)
	ctx, cancel := context.WithCancel(b.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		for at := uint64(1); ctx.Err() == nil; {
			changed := j.Changed()
			records, err := j.Read(ctx, at, 512)
			if err != nil {
				b.Error(err)
				return
			}
			at += uint64(len(records))
			if len(records) == 0 {
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		}
	})
	defer reader.Wait()
	defer cancel()
	done := make(chan struct{}, 1)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		item.Received = time.Now()
		if err := j.Enqueue(b.Context(), item); err != nil {
			b.Fatal(err)
		}
		n++
	}
	item.Done = func(uint64, error) { done <- struct{}{} }
	if err := j.Enqueue(b.Context(), item); err != nil {
		b.Fatal(err)
	}
	<-done
}

// BenchmarkJournalLatency hands events over at a rate and measures how long each takes to be on disk.
func BenchmarkJournalLatency(b *testing.B) {
	for _, rate := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			j, stop := benchJournal(b)
			defer stop()
			e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), 1)
			item := treatItem(b, &e)
			took := make([]time.Duration, 0, b.N)
			var pending sync.WaitGroup
			start := time.Now()
			for n := range b.N {
				due := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
				}
				pending.Add(1)
				item.Received = due
				item.Done = func(uint64, error) {
					took = append(took, time.Since(due))
					pending.Done()
				}
				if err := j.Enqueue(b.Context(), item); err != nil {
					b.Fatal(err)
				}
			}
			pending.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// BenchmarkReplay reads events from a journal on disk and puts them before a sink again. ns/op is the time of an event.
func BenchmarkReplay(b *testing.B) {
	const n = 50_000
	j, stop := benchJournal(b)
	defer stop()
	for i := range n {
		e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), i)
		if err := j.Enqueue(b.Context(), treatItem(b, &e)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := j.Put(b.Context(), journal.Entry{Kind: journal.Known, ID: "end"}); err != nil {
		b.Fatal(err)
	}
	b.Run("events", func(b *testing.B) {
		b.ReportAllocs()
		for left := b.N; left > 0; {
			for _, err := range query.Events(b.Context(), j, query.EventFilter{Last: n}) {
				if left--; err != nil {
					b.Fatal(err)
				}
				if left == 0 {
					break
				}
			}
		}
	})
	b.Run("replay", func(b *testing.B) {
		b.ReportAllocs()
		run := 0
		for left := b.N; left > 0; run++ {
			var batch []pipeline.Record
			for e, err := range query.Events(b.Context(), j, query.EventFilter{Last: n}) {
				if left--; err != nil {
					b.Fatal(err)
				}
				if batch = append(batch, e.Record); len(batch) == 256 || left == 0 {
					if _, err := j.Replay(b.Context(), "bot", fmt.Sprint(run), batch...); err != nil {
						b.Fatal(err)
					}
					batch = batch[:0]
				}
				if left == 0 {
					break
				}
			}
		}
	})
}
