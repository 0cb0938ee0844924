package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/pipeline"
)

// A trace gets each treat once when it is on disk, and each attempt to deliver it; nothing else.
func TestStages(t *testing.T) {
	const n = 6
	var mu sync.Mutex
	told := make(map[string][]string)
	r := newRig(t, t.TempDir(), func(r *rig) {
		r.trace = func(s pipeline.Stage) {
			mu.Lock()
			defer mu.Unlock()
			if s.Account != "acc" || s.Provider != "treatstream" || s.Origin != pipeline.OriginLive || s.Ended.Before(s.Began) || (s.Sink == "") != (s.Seq == 0) {
				t.Errorf("stage %+v", s)
			}
			told[s.ID] = append(told[s.ID], fmt.Sprint(s.Sink, " ", s.Attempt, " ", s.Err))
		}
	})
	refusals := make(map[string]int)
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		e, err := rec.Event()
		if err != nil || rec.Type != pipeline.EventType {
			return nil //nolint:nilerr // an alert
		}
		title := *e.Data.Title
		refusals[title]++
		switch {
		case title == "t000001" && refusals[title] < 3:
			return errors.New("not now")
		case title == "t000002":
			return pipeline.Permanent(errors.New("never"))
		case title == "t000003" && refusals[title] < 2:
			return pipeline.Unavailable(errors.New("away"))
		}
		return nil
	}}
	_, stop := r.lane(sink, LaneConfig{Strict: true})
	if err := r.journal.Resend(t.Context(), "box", pipeline.Record{ID: "alt_1", Account: "acc", Type: pipeline.AlertType, Line: []byte("{}")}, "alt_1"); err != nil {
		t.Fatal(err)
	}
	r.send(r.intake("acc"), 0, n)
	r.count("relay_sink_delivered_total", n) // with the alert, and without the one that is refused for good
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	got := make(map[string][]string)
	for n := range n {
		e := newEvent("acc", pipeline.OriginLive, n)
		got[*e.Data.Title] = slices.Sorted(slices.Values(told[e.ID])) // a delivery may be reported before the journal's own
		if n == 2 {                                                   // it is refused until it is given up
			got[*e.Data.Title] = slices.Compact(got[*e.Data.Title])
		}
	}
	const journaled, accepted = " 0 <nil>", "box 1 <nil>"
	want := map[string][]string{
		"t000000": {journaled, accepted},
		"t000001": {journaled, "box 1 not now", "box 2 not now", "box 3 <nil>"},
		"t000002": {journaled, "box 1 never", "box 2 never", "box 3 never"},
		"t000003": {journaled, accepted, "box 1 away"},
		"t000004": {journaled, accepted},
		"t000005": {journaled, accepted},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(told) != n {
		t.Errorf("stages of %d events (-want +got):\n%s", len(told), diff)
	}
}

// Without a trace the stages cost nothing.
func TestStagesOff(t *testing.T) {
	l := new(Lane)
	of := make([]*delivery, maxHandover)
	if got := testing.AllocsPerRun(10, func() { l.reportStages(of, time.Time{}, time.Time{}, nil) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
