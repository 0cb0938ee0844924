package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
)

// What the journal says of itself, on a server that is killed and comes back.
func TestJournalHealth(t *testing.T) {
	p := natstest.Start(t)
	conn, err := nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	if h := r.journal.Health(); h != (JournalHealth{}) {
		t.Errorf("before the first write: %+v", h)
	}
	if s, err := r.journal.Survey(t.Context(), []string{"acc"}); err != nil || s.Events != 0 || len(s.Newest) != 0 || !s.Oldest.IsZero() {
		t.Errorf("survey of nothing: %+v, %v", s, err)
	}
	in := r.intake("acc")
	r.send(in, 0, 7)
	r.eventually(func() error {
		h := r.journal.Health()
		if h.LastMinute != 7 || h.Waiting != 0 || h.LastWrite.IsZero() || !h.FailingSince.IsZero() {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
	s, err := r.journal.Survey(t.Context(), []string{"acc", "other"})
	if err != nil || s.Events != 7 || s.Bytes == 0 || s.Oldest.IsZero() || len(s.Newest) != 1 || s.Newest["acc"].Origin != OriginLive {
		t.Errorf("survey %+v, %v", s, err)
	}

	p.Kill()
	r.send(in, 7, 10)
	r.eventually(func() error {
		h := r.journal.Health()
		if h.FailingSince.IsZero() || h.Reason == "" || h.Waiting != 3 {
			return fmt.Errorf("health %+v", h)
		}
		if _, err := r.journal.Survey(t.Context(), nil); !errors.Is(err, errConnLost) {
			return fmt.Errorf("survey: %w", err)
		}
		return nil
	})
	p.Restart()
	r.eventually(func() error {
		if h := r.journal.Health(); !h.FailingSince.IsZero() || h.Waiting != 0 || h.Reason != "" {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
}

// The rate counts the last 60 seconds, also over seconds in which nothing came and when the ring begins anew.
func TestEventsOfTheLastMinute(t *testing.T) {
	var h health
	start := time.Unix(1_800_000_000, 0)
	for second := range 200 {
		if second%2 == 0 {
			h.wrote(start.Add(time.Duration(second)*time.Second), 3)
		}
	}
	end := start.Add(199 * time.Second)
	for after, want := range map[time.Duration]uint64{0: 90, 30 * time.Second: 45, 2 * time.Minute: 0, -time.Hour: 0} {
		if got := h.now(end.Add(after)).LastMinute; got != want {
			t.Errorf("%v later: %d, want %d", after, got, want)
		}
	}
}

// What a lane says of itself, while its sink takes, fails and is disabled.
func TestLaneStatus(t *testing.T) {
	r := newRig(t, t.TempDir())
	var fail atomic.Bool
	sink := &box{rule: func(context.Context, Record) error {
		if fail.Load() {
			return Unavailable(errors.New("connection refused"))
		}
		return nil
	}}
	l, stop := r.lane(sink, LaneConfig{})
	in := r.intake("acc")
	r.send(in, 0, 3)
	r.holds(sink, "acc", wantTitles(0, 3))
	status := func(check func(LaneStatus, Backlog) bool) {
		t.Helper()
		r.eventually(func() error {
			survey, err := r.journal.Survey(t.Context(), nil)
			if err != nil {
				return err
			}
			if s, b := l.Status(), survey.Backlogs["box"]; !check(s, b) {
				return fmt.Errorf("status %+v, backlog %+v", s, b)
			}
			return nil
		})
	}
	status(func(s LaneStatus, b Backlog) bool {
		return s.Sink == "box" && s.InFlight == 0 && s.Oldest.IsZero() && s.Delivered == 3 && s.Failures == 0 && !s.LastDelivery.IsZero() &&
			s.P50 > 0 && s.P99 >= s.P50 && !s.Moved.IsZero() && s.UnreadSince.IsZero() && b == Backlog{}
	})
	fail.Store(true)
	r.send(in, 3, 5)
	status(func(s LaneStatus, _ Backlog) bool {
		return !s.State.DownSince.IsZero() && strings.Contains(s.State.Reason, "refused") && s.InFlight == 2 && !s.Oldest.IsZero() && s.Failures > 0 && !s.Full
	})
	err := r.journal.UpdateSink(t.Context(), "box", func(s *SinkState) { s.DisabledSince, s.Reason = time.Now().UTC(), "by hand" })
	if err != nil {
		t.Fatal(err)
	}
	status(func(s LaneStatus, _ Backlog) bool { return !s.State.DisabledSince.IsZero() })
	if err := stop(false); err != nil {
		t.Fatal(err)
	}
	r.send(in, 5, 9)
	status(func(_ LaneStatus, b Backlog) bool { return b.Pending == 4 && !b.Oldest.IsZero() })
}

// The percentiles go by the latest deliveries.
func TestLatencyPercentiles(t *testing.T) {
	var p progress
	now := time.Now()
	deliver := func(n int, took time.Duration) {
		for range n {
			p.delivered(now, []*delivery{{at: now.Add(-took)}})
		}
	}
	deliver(1000, time.Hour)
	deliver(latencies-20, time.Millisecond)
	deliver(20, time.Second)
	if s := p.status(); s.P50 != time.Millisecond || s.P99 != time.Second || s.Delivered != 1000+latencies {
		t.Errorf("p50 %v, p99 %v, delivered %d", s.P50, s.P99, s.Delivered)
	}
}
