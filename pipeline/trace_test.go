package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTimeOfID(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(0), time.UnixMilli(1784235600123), time.UnixMilli(1<<48 - 1)} {
		if got, ok := TimeOfID(NewID(at, Key{1}, 7)); !ok || !got.Equal(at) {
			t.Errorf("time %v, want %v", got, at)
		}
	}
	for _, id := range []string{"", "trt_", "trt_1", "trt_06H003C601TTVEEHS54BW8N74CXX", "trt_06H003C601TTVEEHS54BW8N7IL", "x"} {
		if at, ok := TimeOfID(id); ok {
			t.Errorf("%q has the time %v", id, at)
		}
	}
}

// The way of an event through failures, a dead letter and a redrive.
func TestTrace(t *testing.T) {
	r := newRig(t, t.TempDir())
	log, stop := r.attempts()
	var tries atomic.Int32
	sink := &box{single: true, rule: func(_ context.Context, rec Record) (err error) {
		switch {
		case !strings.Contains(string(rec.Line), "t000001"):
		case tries.Add(1) == 1:
			err = errors.New("500 Internal Server Error")
		case tries.Load() == 2:
			err = Permanent(errors.New("400 Bad Request"))
		}
		a := Attempt{Time: time.Now(), Sink: "box", Events: []string{rec.ID}}
		if err != nil {
			a.Error = err.Error()
		}
		log.Add(a)
		return err
	}}
	r.lane(sink, LaneConfig{})
	r.send(r.intake("acc"), 0, 3)
	letter := r.letters(1, DeadLetterFilter{})[0]
	stop()
	trace, err := r.journal.Trace(t.Context(), letter.ID)
	if err != nil {
		t.Fatal(err)
	}
	if trace.Event.Seq != 2 || trace.Event.Account != "acc" || trace.Journaled.IsZero() {
		t.Errorf("event %+v, journaled %v", trace.Event, trace.Journaled)
	}
	if got, want := kinds(trace), []string{"500 Internal Server Error", "400 Bad Request", "dead letter"}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	log, stop = r.attempts()
	if err := r.journal.Redrive(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	r.holds(sink, "acc", []string{"t000000", "t000002", "t000001"})
	stop()
	if trace, err = r.journal.Trace(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	want := []string{"500 Internal Server Error", "400 Bad Request", fmt.Sprint("redrive of ", letter.Number), "ok"}
	if got := kinds(trace); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
}

func kinds(trace *Trace) (kinds []string) {
	for _, s := range trace.Steps {
		switch {
		case s.Attempt != nil && s.Attempt.Error == "":
			kinds = append(kinds, "ok")
		case s.Attempt != nil:
			kinds = append(kinds, s.Attempt.Error)
		case s.DeadLetter != nil:
			kinds = append(kinds, "dead letter")
		case s.Resent != nil:
			kinds = append(kinds, fmt.Sprint("redrive of ", s.Resent.DeadLetter))
		}
	}
	return kinds
}

// An event is found whatever its date says of the time when it came.
func TestTraceFindsEveryEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	const form = `{"title":%q,"date_created":%q}`
	now := time.Now().UTC()
	for title, date := range map[string]time.Time{
		"now": now, "a month ago": now.AddDate(0, -1, 0), "wrong zone": now.Add(14 * time.Hour), "next year": now.AddDate(1, 0, 0),
	} {
		p := json.RawMessage(fmt.Sprintf(form, title, date.Format(time.DateTime)))
		if err := in.Handle(t.Context(), []json.RawMessage{p}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	r.count("relay_events_journaled_total", 4)
	for _, e := range r.journaled("acc") {
		trace, err := r.journal.Trace(t.Context(), e.ID)
		if err != nil || trace.Event.Seq == 0 {
			t.Errorf("%s: %+v (%v)", *e.Data.Title, trace, err)
		}
	}
	for _, id := range []string{"trt_06H003C601TTVEEHS54BW8N74C", "nonsense", ""} {
		if _, err := r.journal.Trace(t.Context(), id); !errors.Is(err, ErrUnknownEvent) {
			t.Errorf("%q: error %v, want %v", id, err, ErrUnknownEvent)
		}
	}
}
