package sinks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// BenchmarkHangingNeighbour measures how long a webhook's events take from the socket to the receiver, alone and beside a
// second webhook whose receiver hangs on every request for 30 s. Both are measured in turns, on one journal, at 500 events a
// second; compare their p50 and p99 in one run.
func BenchmarkHangingNeighbour(b *testing.B) {
	stack := newStack(b)
	arrived := make(chan struct{}, 1)
	quick := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
	}))
	defer quick.Close()
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has left
		select {
		case <-r.Context().Done():
		case <-time.After(30 * time.Second):
		}
	}))
	defer hanging.Close()
	defer hanging.CloseClientConnections()

	lane := func(name, url string) (stop func()) {
		config, ok := sinks.NewConfig("webhook").(*webhook.Config)
		if !ok {
			b.Fatal("no webhook configuration")
		}
		config.URL, config.Secret, config.Timeout = secret.New(url), secret.New(sinktest.WebhookSecret), time.Minute
		sink, err := sinks.Open(b.Context(), config, sinks.Env{Name: name})
		if err != nil {
			b.Fatal(err)
		}
		l, err := stack.lanes.Open(b.Context(), sink, delivery.LaneConfig{Sink: name, Concurrency: config.Concurrency(), Log: zerolog.Nop()})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(b.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = l.Run(ctx) })
		return func() {
			cancel(errTestOver)
			run.Wait()
		}
	}
	in := stack.intake("acc")
	n := 0
	measure := func(events int) (took []time.Duration) {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range events {
			<-tick.C
			n++
			start := time.Now()
			treat := json.RawMessage(fmt.Sprintf(`{"sender":"s","title":"t%d","date_created":"2026-07-16 21:00:00"}`, n))
			if err := in.Handle(b.Context(), []json.RawMessage{treat}, start); err != nil {
				b.Fatal(err)
			}
			<-arrived
			took = append(took, time.Since(start))
		}
		return took
	}
	defer lane("quick", quick.URL)()
	measure(200) // warm
	var alone, beside []time.Duration
	for b.Loop() {
		alone = append(alone, measure(500)...)
		stop := lane("hanging", hanging.URL)
		beside = append(beside, measure(500)...)
		stop()
	}
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), name+"-p99-µs")
	}
	report("alone", alone)
	report("beside", beside)
}
