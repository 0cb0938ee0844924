package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// alertSchema is the published schema, with its formats checked.
func alertSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../docs/alert.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// startAlerts runs alerts to the sink of that name until the test ends.
func (r *rig) startAlerts(sink string) *Alerts {
	r.t.Helper()
	alerts := NewAlerts(r.journal, sink, testLog(r.t))
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		alerts.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
	return alerts
}

// alerts are those that a sink got, each of the published schema.
func (b *box) alerts(t *testing.T, schema *jsonschema.Schema) (all []Alert) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for account, records := range b.got {
		for _, record := range records {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(record.Line)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Fatalf("%s: %v in %s", account, err, record.Line)
			}
			a, err := record.Alert()
			if err != nil || record.Type != AlertType || record.ID != a.ID {
				t.Fatalf("record %+v, %v", record, err)
			}
			all = append(all, a)
		}
	}
	return all
}

// What becomes of a sink is told to another sink through the journal, whatever accounts and events that sink is for: a dead letter,
// an outage and its end, and that it is disabled and enabled. Each is of the published schema.
func TestAlertsReachTheirSink(t *testing.T) {
	r := newRig(t, t.TempDir())
	schema := alertSchema(t)
	filter, err := NewFilter("false")
	if err != nil {
		t.Fatal(err)
	}
	var ops box
	r.lane(&ops, LaneConfig{Sink: "ops", Filter: filter, Accounts: []string{"somebody-else"}})
	var down atomic.Bool
	sink := &box{single: true, rule: func(_ context.Context, rec Record) error {
		switch line := string(rec.Line); {
		case strings.Contains(line, "t000000"):
			return Permanent(errors.New("status 404: the receiver says: no such dish"))
		case down.Load():
			return Unavailable(errors.New("dial tcp 127.0.0.1:1: connection refused"))
		case strings.Contains(line, "t000002"):
			return Gone(errors.New("status 410: the receiver is gone for good"))
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Alert: r.startAlerts("ops").Raise})
	in := r.intake("acc")
	told := func(want ...AlertKind) (last Alert) {
		t.Helper()
		r.eventually(func() error {
			all := ops.alerts(t, schema)
			var kinds []AlertKind
			for _, a := range all {
				last = a
				kinds = append(kinds, a.Data.Kind)
			}
			if !slices.Equal(kinds, want) {
				return fmt.Errorf("alerts %v, want %v", kinds, want)
			}
			return nil
		})
		return last
	}

	r.send(in, 0, 1)
	if a := told(AlertDeadLetter); a.Data.Sink != "box" || !strings.Contains(a.Data.Reason, "no such dish") || !strings.Contains(a.Data.Hint, "--sink box") {
		t.Errorf("alert %+v", a)
	}
	down.Store(true)
	r.send(in, 1, 2)
	told(AlertDeadLetter, AlertDown)
	down.Store(false)
	told(AlertDeadLetter, AlertDown, AlertRecovered)
	r.send(in, 2, 3)
	a := told(AlertDeadLetter, AlertDown, AlertRecovered, AlertDisabled)
	if !strings.Contains(a.Data.Hint, "relay sinks enable box") || time.Since(a.Time) > time.Hour {
		t.Errorf("alert %+v", a)
	}
	if err := r.journal.UpdateSink(t.Context(), "box", func(s *SinkState) { *s = SinkState{} }); err != nil {
		t.Fatal(err)
	}
	told(AlertDeadLetter, AlertDown, AlertRecovered, AlertDisabled, AlertRecovered, AlertDisabled) // it is still gone
	if got := ops.titles(t, "acc"); len(got) != 0 {
		t.Errorf("the sink that alerts go to got %v, which its filter leaves out", got)
	}
}

// What the journal did not take before relay was told to end is sent all the same.
func TestLastAlertsAreSent(t *testing.T) {
	r := newRig(t, t.TempDir())
	var ops box
	r.lane(&ops, LaneConfig{Sink: "ops"})
	alerts := NewAlerts(r.journal, "ops", testLog(t))
	for range 5 {
		alerts.Raise(AlertData{Sink: "box", Kind: AlertDown, Reason: "no answer", Hint: "mend it"})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	alerts.Run(ended)
	r.eventually(func() error {
		if got := len(ops.alerts(t, alertSchema(t))); got != 5 {
			return fmt.Errorf("%d alerts, want 5", got)
		}
		return nil
	})
}
