package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
)

// A lane holds no more than some megabytes of large events, and those that it does not hold it reads when it has room.
func TestLargeEventsAreBounded(t *testing.T) {
	const n, size = 60, 1 << 20
	r := newRig(t, t.TempDir())
	release := make(chan struct{})
	sink := &box{single: true, rule: func(ctx context.Context, _ pipeline.Record) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
	l, _ := r.lane(sink, LaneConfig{})
	for i := range n {
		e := newEvent("acc", pipeline.OriginLive, i)
		text := strings.Repeat("x", size)
		e.Data.Message = &text
		r.put(entryOf(t, &e))
		l.ledger.mu.Lock()
		l.feed.mu.Lock()
		if held := l.ledger.bytes + l.feed.bytes + l.feed.inHand.bytes; held > maxHeldBytes+2*size {
			t.Errorf("%d bytes in hand after %d events", held, i)
		}
		l.feed.mu.Unlock()
		l.ledger.mu.Unlock()
	}
	r.eventually(func() error {
		if s := l.Status(); !s.Full && s.InFlight < 7 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	close(release)
	r.count("relay_sink_delivered_total", n)
	r.holds(sink, "acc", wantTitles(0, n))
}

// A backlog that is larger than what a lane holds goes out in order, whatever comes meanwhile.
func TestLaggingLaneCatchesUp(t *testing.T) {
	const n = 3 * maxHeld
	r := newRig(t, t.TempDir())
	down := &box{rule: func(context.Context, pipeline.Record) error {
		return pipeline.Unavailable(errors.New("connection refused"))
	}}
	_, stop := r.lane(down, LaneConfig{})
	r.send("acc", 0, n)
	r.eventually(func() error {
		if got := r.kept(); got != n {
			return fmt.Errorf("%d journaled", got)
		}
		return nil
	})
	check(t, stop(true))
	var sink box
	_, stop = r.lane(&sink, LaneConfig{})
	r.send("acc", n, n+500)
	r.holds(&sink, "acc", wantTitles(0, n+500))
	r.eventually(func() error { // and it is at the journal's end now
		if c := r.place("box"); c.Next != n+501 || len(c.Open) > 0 {
			return fmt.Errorf("cursor %+v", c)
		}
		return nil
	})
	check(t, stop(true))
}

// Thousands of lanes of an account each: an event costs the lanes nothing that do not want it, and idle lanes are where the journal ends when they are opened again.
func TestManyLanes(t *testing.T) {
	const lanes = 1000
	r := newRig(t, t.TempDir())
	sinks := make([]counter, lanes)
	var running []*Lane
	done := make(chan error, lanes)
	for i := range sinks {
		l, err := r.home.Open(t.Context(), &sinks[i], LaneConfig{Sink: fmt.Sprint("box", i), Selection: rules.Selection{Accounts: []string{fmt.Sprint("acc", i)}}, Log: zerolog.Nop()})
		check(t, err)
		running = append(running, l)
		go func() { done <- l.Run(context.WithoutCancel(t.Context())) }()
	}
	r.send("acc0", 0, 2000)
	r.send("acc500", 0, 2000)
	r.send("acc999", 0, 1)
	r.eventually(func() error {
		if a, b, c := sinks[0].n.Load(), sinks[500].n.Load(), sinks[999].n.Load(); a != 2000 || b != 2000 || c != 1 {
			return fmt.Errorf("%d, %d and %d events", a, b, c)
		}
		return nil
	})
	for _, l := range running {
		l.Drain()
	}
	for range running {
		check(t, <-done)
	}
	for i := range sinks {
		if c := r.cursor(fmt.Sprint("box", i)); c.Next != 4002 || len(c.Open) > 0 {
			t.Fatalf("cursor %+v of %d", c, i)
		}
		if n := sinks[i].n.Load(); i != 0 && i != 500 && i != 999 && n != 0 {
			t.Fatalf("%d events of others", n)
		}
	}
}

// A lane of the same name goes on where the one before ended, and none is opened beside it.
func TestLaneIsReopened(t *testing.T) {
	r := newRig(t, t.TempDir())
	var sink box
	_, stop := r.lane(&sink, LaneConfig{})
	if _, err := r.home.Open(t.Context(), &box{}, LaneConfig{Sink: "box", Log: r.logger()}); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("a second lane of that name: %v", err)
	}
	for n := range 5 {
		r.send("acc", 2*n, 2*n+1)
		r.holds(&sink, "acc", wantTitles(0, 2*n+1))
		check(t, stop(n%2 == 0))
		r.send("acc", 2*n+1, 2*n+2)
		_, stop = r.lane(&sink, LaneConfig{})
		r.holds(&sink, "acc", wantTitles(0, 2*n+2))
	}
	check(t, stop(true))
}
