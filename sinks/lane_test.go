package sinks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// laneTo journals n treats of each account for a lane to a sink, runs the lane, and returns its alerts and what drains it.
func laneTo(t *testing.T, config sinks.Config, n int, accounts ...string) (alerts chan pipeline.AlertData, drain func()) {
	t.Helper()
	run := runLane(t, config, delivery.LaneConfig{Probe: breaker.Policy{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond}}, n, accounts...)
	return run.alerts, run.drain
}

// laneRun is a lane that runs.
type laneRun struct {
	*stack
	lane   *delivery.Lane
	alerts chan pipeline.AlertData
	drain  func()
}

func runLane(t *testing.T, config sinks.Config, how delivery.LaneConfig, n int, accounts ...string) *laneRun {
	t.Helper()
	stack := newStack(t)
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "far"})
	if err != nil {
		t.Fatal(err)
	}
	alerts := make(chan pipeline.AlertData, 256)
	how.Sink, how.Concurrency, how.Alert, how.Log = "far", config.Concurrency(), func(a pipeline.AlertData) { alerts <- a }, zerolog.Nop()
	lane, err := stack.lanes.Open(t.Context(), sink, how)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts {
		in := stack.intake(account)
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
	stacktest.Eventually(t, func() error { // All of it waits before the lane begins.
		if _, next := stack.Journal.Bounds(); int(next) != n*len(accounts)+1 {
			return fmt.Errorf("the journal goes on with %d", next)
		}
		return nil
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := lane.Run(ctx); err != nil {
			t.Errorf("the lane: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel(errTestOver)
		running.Wait()
	})
	return &laneRun{stack, lane, alerts, func() {
		lane.Drain()
		running.Wait()
	}}
}

// TestDiscordBurstThroughTheLane checks that events journaled together arrive in few messages, in order.
func TestDiscordBurstThroughTheLane(t *testing.T) {
	fake := &sinktest.FakeDiscord{Limit: 5, Window: 50 * time.Millisecond}
	_, drain := laneTo(t, sinktest.DiscordConfig(t, sinktest.Receiver(t, fake.ServeHTTP)), 200, "mystream")
	drain()
	fake.Report(t)
	embeds, messages := fake.Seen()
	if len(embeds) != 200 || messages > 30 {
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
	alerts, drain := laneTo(t, sinktest.DiscordConfig(t, sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"Unknown Webhook","code":10015}`)
	})), 20, "one", "two", "three", "four")
	select {
	case a := <-alerts:
		if a.Kind != pipeline.AlertDisabled || a.Sink != "far" {
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

// TestWebhookBreaksOnOneEvent checks that the receiver gets all events except the one that makes it hang.
func TestWebhookBreaksOnOneEvent(t *testing.T) {
	var mu sync.Mutex
	var got []string
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var e pipeline.Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
			return
		}
		if *e.Data.Message == "treat 3" {
			<-r.Context().Done()
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, *e.Data.Message)
	})
	config := sinktest.WebhookConfig(t, url, func(c *webhook.Config) { c.Timeout = 100 * time.Millisecond })
	_, drain := laneTo(t, config, 12, "mystream")
	var want []string
	for i := range 12 {
		if i != 3 {
			want = append(want, fmt.Sprintf("treat %d", i))
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		all := slices.Clone(got)
		mu.Unlock()
		if slices.Equal(all, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("delivered %v, want %v", all, want)
		}
	}
	drain()
}

// TestWebhookGoneDisables checks that a receiver that answers 410 gets one request, however many accounts have events.
func TestWebhookGoneDisables(t *testing.T) {
	var requests atomic.Int32
	config := sinktest.WebhookConfig(t, sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusGone)
	}), nil)
	alerts, drain := laneTo(t, config, 50, "mystream")
	select {
	case a := <-alerts:
		if a.Kind != pipeline.AlertDisabled {
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
