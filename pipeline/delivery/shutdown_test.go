package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// What the destination says while the lane is being ended is not forgotten.
func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		kept   func(journal.SinkState, []schedule.Retry) bool
	}{
		"gone": {pipeline.Gone(errors.New("status 410")), func(s journal.SinkState, _ []schedule.Retry) bool { return !s.DisabledSince.IsZero() }},
		"down": {
			pipeline.RetryAfter(time.Hour, pipeline.Unavailable(errors.New("status 429"))),
			func(s journal.SinkState, _ []schedule.Retry) bool { return time.Until(s.NotBefore) > 50*time.Minute },
		},
		"refused": {
			pipeline.RetryAfter(time.Hour, errors.New("status 500")),
			func(_ journal.SinkState, all []schedule.Retry) bool {
				return len(all) == 1 && time.Until(all[0].Next) > 50*time.Minute
			},
		},
		"accepted after a refusal": {nil, func(_ journal.SinkState, all []schedule.Retry) bool { return len(all) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, t.TempDir())
			var tries atomic.Int32
			asked := make(chan struct{})
			sink := &box{single: true, rule: func(ctx context.Context, _ pipeline.Record) error {
				if c.answer == nil && tries.Add(1) <= schedule.DeferAfter {
					return errors.New("status 500")
				}
				close(asked)
				<-ctx.Done()
				return c.answer
			}}
			_, stop := r.lane(sink, LaneConfig{})
			r.send(r.intake("acc"), 0, 1)
			<-asked
			if err := stop(false); err != nil {
				t.Fatal(err)
			}
			state, err := r.journal.SinkState(t.Context(), "box")
			if err != nil {
				t.Fatal(err)
			}
			all := r.retries("box")
			if !c.kept(state, all) {
				t.Errorf("the lane left %+v and retries %+v", state, all)
			}
		})
	}
}

// The operator is told once of an outage, and once of its end, whatever restarts come between.
func TestAlertsOverRestarts(t *testing.T) {
	dir := t.TempDir()
	var alerts alertBox
	var down atomic.Bool
	down.Store(true)
	var probes atomic.Int32
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if down.Load() {
			probes.Add(1)
			return pipeline.Unavailable(errors.New("connection refused"))
		}
		return nil
	}}
	for restart := range 3 {
		r := newRig(t, dir)
		_, stop := r.lane(sink, LaneConfig{Alert: alerts.add})
		if restart == 0 {
			r.send(r.intake("acc"), 0, 3)
		}
		before := probes.Load()
		r.eventually(func() error {
			if n := probes.Load() - before; n < 9 {
				return fmt.Errorf("%d probes", n)
			}
			return nil
		})
		if restart == 2 {
			down.Store(false)
			r.holds(sink, "acc", wantTitles(0, 3))
		}
		if err := stop(true); err != nil {
			t.Fatal(err)
		}
		r.stop()
	}
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDown, pipeline.AlertRecovered}) {
		t.Errorf("alerts %v, want one that it is down and one that it works again", got)
	}
}

// One answer that the destination is gone is enough, for good, until somebody enables the sink.
func TestGoneDisables(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	var requests atomic.Int32
	gone := func(context.Context, pipeline.Record) error {
		requests.Add(1)
		return pipeline.Gone(errors.New("status 410"))
	}
	sink := &box{single: true, rule: gone}
	var alerts alertBox
	_, stop := r.lane(sink, LaneConfig{Alert: alerts.add})
	in := r.intake("acc")
	r.send(in, 0, 20)
	state := func() journal.SinkState {
		t.Helper()
		s, err := r.journal.SinkState(t.Context(), "box")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r.eventually(func() error {
		if s := state(); s.DisabledSince.IsZero() || s.Reason != "status 410" {
			return fmt.Errorf("state %+v", s)
		}
		return nil
	})
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	in = r.intake("acc")
	again := &box{single: true, rule: gone}
	_, stop = r.lane(again, LaneConfig{})
	r.send(in, 20, 30)
	r.count("relay_events_journaled_total", 10)
	if got := r.metric("relay_sink_disabled"); got != 1 {
		t.Errorf("relay_sink_disabled = %v", got)
	}
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	var repaired box
	r.lane(&repaired, LaneConfig{})
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince = time.Time{} }); err != nil {
		t.Fatal(err)
	}
	r.holds(&repaired, "acc", wantTitles(0, 30))
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDisabled}) {
		t.Errorf("alerts %v", got)
	}
	// And the operator's own word, while it runs.
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince, s.Reason = time.Now(), "by hand" }); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		if r.metric("relay_sink_disabled") != 1 {
			return errors.New("not disabled")
		}
		return nil
	})
	r.send(in, 30, 31)
	r.count("relay_events_journaled_total", 11)
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { *s = journal.SinkState{} }); err != nil {
		t.Fatal(err)
	}
	r.holds(&repaired, "acc", wantTitles(0, 31))
}
