package main

import (
	"fmt"
	"math"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// client returns a client of the relay that runs.
func (w *world) client() *api.Client {
	w.t.Helper()
	c, err := api.Connect(w.t.Context(), w.data())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// The last hour has every treat and delivery in the steps in which they happened, across reloads that replace a sink.
func TestSeries(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	client := w.client()
	awaitSum := func(n float64) (steps int) {
		t.Helper()
		sum := func(v api.Values) (sum float64) {
			steps = 0
			for _, n := range v {
				if !math.IsNaN(n) {
					sum, steps = sum+n, steps+1
				}
			}
			return sum
		}
		eventually(t, func() error {
			s, err := client.Series(t.Context())
			if err != nil {
				return err
			}
			bot := s.Sinks["bot"]
			if d, tr := sum(bot.Delivered), sum(s.Accounts["mystream"].Treats); d != n || tr != n || sum(bot.P99) <= 0 {
				return fmt.Errorf("%v delivered, %v treats, want %v; p99 %v", d, tr, n, bot.P99)
			}
			sum(bot.Waiting)
			return nil
		})
		return steps
	}
	w.live.emit(0, 5)
	holds(t, "the webhook", w.bot.lines, 0, 5)
	before := awaitSum(5)
	w.configure(func(s *settings) { s.Sinks["bot"].Retry.Max = "1s" })
	p.signal(syscall.SIGHUP)
	p.err.find(t, "configuration loaded again")
	w.connected()
	w.live.emit(5, 8)
	holds(t, "the webhook", w.bot.lines, 0, 8)
	if after := awaitSum(8); after <= before {
		t.Errorf("%d steps after a reload, %d before", after, before)
	}
	p.stop()
}
