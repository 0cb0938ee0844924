package sinks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// chatLane journals n treats of each account for a lane to a discord sink at url, runs the lane, and returns its alerts and
// what drains it.
func chatLane(t *testing.T, url string, n int, accounts ...string) (alerts chan pipeline.AlertData, drain func()) {
	t.Helper()
	server, err := pipeline.StartServer(t.Context(), pipeline.ServerConfig{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	conn, err := server.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	journal, err := pipeline.OpenJournal(t.Context(), pipeline.JournalConfig{
		Conn: conn, Retention: time.Hour, Log: zerolog.Nop(), Metrics: pipeline.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	var journaling sync.WaitGroup
	journaling.Go(func() { _ = journal.Run(context.WithoutCancel(t.Context())) })
	written := sync.OnceFunc(func() {
		journal.Close()
		journaling.Wait()
	})
	t.Cleanup(written)
	config := discordConfig(t, url)
	sink, err := config.Open(t.Context(), sinks.Env{Name: "chat"})
	if err != nil {
		t.Fatal(err)
	}
	alerts = make(chan pipeline.AlertData, 16)
	lane, err := pipeline.OpenLane(t.Context(), journal, sink, pipeline.LaneConfig{
		Sink: "chat", Concurrency: config.Concurrency(), Alert: func(a pipeline.AlertData) { alerts <- a }, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts {
		in := pipeline.NewIntake(pipeline.Normalizer{Account: account, Provider: "treatstream", Location: time.UTC}, journal)
		if err := in.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		var treats []json.RawMessage
		for i := range n {
			treats = append(treats, json.RawMessage(fmt.Sprintf(`{"sender":"s","title":"Pizza","message":"treat %d"}`, i)))
		}
		text, err := json.Marshal(treats)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Handle(t.Context(), []json.RawMessage{text}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	written() // All of it waits before the lane begins.
	ctx, cancel := context.WithCancelCause(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := lane.Run(ctx); err != nil {
			t.Errorf("the lane: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel(errors.New("the test is over"))
		running.Wait()
	})
	return alerts, func() {
		lane.Drain()
		running.Wait()
	}
}

// TestDiscordBurstThroughTheLane wants what was journaled at once in few messages, in order.
func TestDiscordBurstThroughTheLane(t *testing.T) {
	fake := &fakeDiscord{limit: 5, window: 50 * time.Millisecond}
	_, drain := chatLane(t, receiver(t, fake.ServeHTTP), 200, "mystream")
	drain()
	fake.report(t)
	embeds, messages := fake.seen()
	if len(embeds) != 200 || messages > 22 {
		t.Fatalf("%d treats arrived in %d messages", len(embeds), messages)
	}
	for i, e := range embeds {
		if e.Description != fmt.Sprintf("treat %d", i) {
			t.Fatalf("treat %d is %q", i, e.Description)
		}
	}
}

// TestDiscordGoneDisables is property 5 of the deliveries: after one 404 the sink is disabled, whoever else had something to
// deliver.
func TestDiscordGoneDisables(t *testing.T) {
	var requests atomic.Int32
	alerts, drain := chatLane(t, receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"Unknown Webhook","code":10015}`)
	}), 20, "one", "two", "three", "four")
	select {
	case a := <-alerts:
		if a.Kind != pipeline.AlertDisabled || a.Sink != "chat" {
			t.Errorf("alert %+v", a)
		}
	case <-time.After(30 * time.Second):
		t.Error("the sink is not disabled")
	}
	drain()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}
