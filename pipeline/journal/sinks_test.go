package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// keepCursor stores a lane's target.
func (r *rig) keepCursor(sink string, c journal.Cursor) {
	r.t.Helper()
	value, err := json.Marshal(c)
	if err == nil {
		_, err = r.State.Put(r.t.Context(), journal.CursorKey(sink), value, journal.AnyRevision)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// What the status says of the sinks, and a survey of the journal, goes by the cursors, the state and what the lanes would be sent.
func TestSinks(t *testing.T) {
	r := newRig(t, t.TempDir())
	if s, err := query.TakeSurvey(t.Context(), r.Journal); err != nil || len(s.Backlogs) != 0 || !s.Oldest.IsZero() {
		t.Errorf("survey of nothing: %+v, %v", s, err)
	}
	r.put("ann", pipeline.OriginLive, time.Now(), 0)                                     // 1
	r.put("bob", pipeline.OriginLive, time.Now(), 1)                                     // 2
	if err := r.Journal.Resend(t.Context(), "other", r.record(1), "again"); err != nil { // 3
		t.Fatal(err)
	}
	if err := r.Journal.Resend(t.Context(), "bot", r.record(2), "again2"); err != nil { // 4
		t.Fatal(err)
	}
	r.put("ann", pipeline.OriginLive, time.Now(), 2)                                           // 5
	if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, r.record(1)); err != nil { // 6
		t.Fatal(err)
	}
	r.keepCursor("all", journal.Cursor{Next: 1})
	r.keepCursor("bot", journal.Cursor{Next: 2, Open: []journal.Range{{First: 1, Last: 1}}, Accounts: []string{"ann"}})
	r.keepCursor("done", journal.Cursor{Next: 7, Open: []journal.Range{{First: 1, Last: 2}, {First: 5, Last: 5}}})
	for number, value := range map[uint64]string{1: `{"aside":true}`, 2: `{}`} {
		if _, err := r.State.Put(t.Context(), journal.RetryKey("done", number), []byte(value), journal.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Journal.UpdateSink(t.Context(), "bot", func(s *journal.SinkState) { s.Reason = "by hand" }); err != nil {
		t.Fatal(err)
	}
	statuses, err := query.Sinks(t.Context(), r.Journal, []string{"new", "bot"})
	if err != nil {
		t.Fatal(err)
	}
	want := []query.SinkStatus{
		{Sink: "new"},
		{Sink: "bot", Opened: true, SinkState: journal.SinkState{Reason: "by hand"}, Pending: 2, InFlight: 1, DeadLetters: 1},
		{Sink: "all", Opened: true, Pending: 3},
		{Sink: "done", Opened: true, InFlight: 2, Retries: 2},
	}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	s, err := query.TakeSurvey(t.Context(), r.Journal)
	if err != nil || s.Bytes == 0 || s.Oldest.IsZero() || len(s.Backlogs) != 3 {
		t.Fatalf("survey %+v, %v", s, err)
	}
	fourth, err := r.Journal.Get(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	if b := s.Backlogs["bot"]; b.Pending != 2 || b.DeadLetters != 1 || !b.Oldest.Equal(fourth.Time) {
		t.Errorf("backlog %+v, the oldest is of %v", b, fourth.Time)
	}
	if b := s.Backlogs["done"]; b != (query.Backlog{}) {
		t.Errorf("backlog %+v", b)
	}
	// What the lanes of this process know is newer.
	r.Journal.SetCursors(func() map[string]journal.Cursor { return map[string]journal.Cursor{"bot": {Next: 7}} })
	if s, err = query.TakeSurvey(t.Context(), r.Journal); err != nil || s.Backlogs["bot"].Pending != 0 || s.Backlogs["all"].Pending != 3 {
		t.Errorf("survey %+v, %v", s, err)
	}
}

// The latest attempt of each sink is found however long ago it was, also after a restart.
func TestLastAttempt(t *testing.T) {
	r := openRig(t, t.TempDir())
	at := time.Now().UTC().Truncate(time.Second)
	for round := range 3 {
		l, stop := r.attemptLog()
		if round == 0 {
			l.Add(pipeline.Attempt{Time: at, Sink: "old", Events: []string{"trt_0"}, Latency: time.Second})
			l.Add(pipeline.Attempt{Time: at.Add(time.Minute), Sink: "old", Events: []string{"trt_1"}, Error: "no"})
		}
		l.Add(pipeline.Attempt{Time: at.Add(time.Duration(round) * time.Hour), Sink: "bot", Events: []string{"trt_2"}})
		stop()
	}
	statuses, err := query.Sinks(t.Context(), r.Journal, []string{"old", "bot", "none"})
	if err != nil {
		t.Fatal(err)
	}
	old, bot, none := statuses[0], statuses[1], statuses[2]
	if old.LastAttempt == nil || old.LastAttempt.Error != "no" || len(old.LastAttempt.Events) != 0 || !old.LastDelivery.Equal(at.Add(time.Second)) {
		t.Errorf("old %+v, %+v", old, old.LastAttempt)
	}
	if bot.LastAttempt == nil || !bot.LastAttempt.Time.Equal(at.Add(2*time.Hour)) || !bot.LastDelivery.Equal(bot.LastAttempt.Time) {
		t.Errorf("bot %+v, %+v", bot, bot.LastAttempt)
	}
	if none.LastAttempt != nil || !none.LastDelivery.IsZero() {
		t.Errorf("none %+v", none)
	}
}

// What the journal says of its writing.
func TestHealth(t *testing.T) {
	r := newRig(t, t.TempDir())
	if h := r.Journal.Health(); h != (journal.Health{}) {
		t.Errorf("before the first write: %+v", h)
	}
	r.send("acc", 0, 7)
	r.eventually(func() error {
		h := r.Journal.Health()
		if h.LastMinute != 7 || h.Waiting != 0 || h.LastWrite.IsZero() || !h.FailingSince.IsZero() {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
}

// alertSchema is the published schema, with its formats checked.
func alertSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/alert.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// alerts are those that were put before a sink, each of the published schema.
func (r *rig) alerts(sink string) (all []pipeline.Alert) {
	r.t.Helper()
	schema := alertSchema(r.t.(*testing.T))
	for _, record := range r.resent(sink) {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(record.Line)))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			r.t.Fatalf("%v in %s", err, record.Line)
		}
		a, err := record.Alert()
		if err != nil || record.Type != pipeline.AlertType || record.ID != a.ID || record.Account != "RELAY" {
			r.t.Fatalf("record %+v, %v", record, err)
		}
		all = append(all, a)
	}
	return all
}

// Alerts go through the journal to their sink, in order, and to no other; no event is among them.
func TestAlertsAreJournaled(t *testing.T) {
	r := newRig(t, t.TempDir())
	alerts := journal.NewAlerts(r.Journal, "ops", stacktest.Logger(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		alerts.Run(ctx)
	}()
	want := []pipeline.AlertKind{pipeline.AlertDeadLetter, pipeline.AlertDown, pipeline.AlertRecovered, pipeline.AlertDisabled}
	for _, kind := range want {
		data := pipeline.AlertData{Sink: "box", Kind: kind, Reason: "no answer", Hint: "fix it"}
		if kind == pipeline.AlertRecovered {
			data.Hint = ""
		}
		alerts.Raise(data)
	}
	r.eventually(func() error {
		var kinds []pipeline.AlertKind
		for _, a := range r.alerts("ops") {
			kinds = append(kinds, a.Data.Kind)
		}
		if !slices.Equal(kinds, want) {
			return fmt.Errorf("alerts %v, want %v", kinds, want)
		}
		return nil
	})
	cancel()
	<-done
	all := []pipeline.Origin{pipeline.OriginLive, pipeline.OriginTest, pipeline.OriginReplay, ""}
	if got := r.events(query.EventFilter{Origins: all}); len(got) != 0 || len(r.resent("box")) != 0 {
		t.Errorf("events %v", got)
	}
}

// What the journal did not take before relay was told to end is sent all the same.
func TestLastAlertsAreSent(t *testing.T) {
	r := newRig(t, t.TempDir())
	alerts := journal.NewAlerts(r.Journal, "ops", stacktest.Logger(t))
	for range 5 {
		alerts.Raise(pipeline.AlertData{Sink: "box", Kind: pipeline.AlertDown, Reason: "no answer", Hint: "fix it"})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	alerts.Run(ended)
	r.eventually(func() error {
		if got := len(r.alerts("ops")); got != 5 {
			return fmt.Errorf("%d alerts, want 5", got)
		}
		return nil
	})
}

// A journal without a log of attempts works.
func TestNoAttemptsYet(t *testing.T) {
	for _, none := range []journal.Attempts{nil, attempts.NewReader(nil)} {
		r := openRig(t, t.TempDir(), func(c *journal.Config) { c.Attempts = none })
		if _, err := query.Find(t.Context(), r.Journal, "trt_1"); !errors.Is(err, query.ErrUnknownEvent) {
			t.Error(err)
		}
		if _, err := query.Sinks(t.Context(), r.Journal, []string{"bot"}); err != nil {
			t.Error(err)
		}
	}
}
