package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// The way of an event through failures, a dead letter and a redrive.
func TestTrace(t *testing.T) {
	r := newRig(t, t.TempDir())
	for n := range 3 {
		r.put("acc", pipeline.OriginLive, time.Now(), n)
	}
	log, stop := r.attemptLog()
	tried := func(rec pipeline.Record, err string) {
		log.Add(pipeline.Attempt{Time: time.Now(), Sink: "box", Events: []string{rec.ID}, Error: err})
	}
	for number := range uint64(3) {
		if number == 1 {
			tried(r.record(2), "500 Internal Server Error")
			tried(r.record(2), "400 Bad Request")
			continue
		}
		tried(r.record(number+1), "")
	}
	if err := r.Journal.KeepDeadLetter(t.Context(), "box", "400 Bad Request", 2, r.record(2)); err != nil {
		t.Fatal(err)
	}
	letter := r.letters(1, journal.DeadLetterFilter{})[0]
	stop()
	trace, err := query.Find(t.Context(), r.Journal, letter.ID)
	if err != nil {
		t.Fatal(err)
	}
	if trace.Event.Seq != 2 || trace.Event.Account != "acc" || trace.Journaled.IsZero() {
		t.Errorf("event %+v, journaled %v", trace.Event, trace.Journaled)
	}
	if got, want := kinds(trace), []string{"500 Internal Server Error", "400 Bad Request", "dead letter"}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	log, stop = r.attemptLog()
	if err := r.Journal.Redrive(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	tried(r.resent("box")[0], "")
	stop()
	if trace, err = query.Find(t.Context(), r.Journal, letter.ID); err != nil {
		t.Fatal(err)
	}
	want := []string{"500 Internal Server Error", "400 Bad Request", fmt.Sprint("redrive of ", letter.Number), "ok"}
	if got := kinds(trace); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
}

func kinds(trace *query.Trace) (kinds []string) {
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
	now := time.Now().UTC()
	for n, date := range []time.Time{now, now.AddDate(0, -1, 0), now.Add(14 * time.Hour), now.AddDate(1, 0, 0)} {
		e, number := r.put("acc", pipeline.OriginLive, date, n)
		trace, err := query.Find(t.Context(), r.Journal, e.ID)
		if err != nil || trace.Event.Seq != number {
			t.Errorf("%v: %+v (%v)", date, trace, err)
		}
	}
	for _, id := range []string{"trt_06H003C601TTVEEHS54BW8N74C", "nonsense", ""} {
		if _, err := query.Find(t.Context(), r.Journal, id); !errors.Is(err, query.ErrUnknownEvent) {
			t.Errorf("%q: error %v, want %v", id, err, query.ErrUnknownEvent)
		}
	}
}

// A digest is found by the entry that it is made of.
func TestTraceOfADigest(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.put("acc", pipeline.OriginBackfill, time.Now(), 0)
	m := journal.BackfillBatch{Account: "acc", Provider: "treatstream", Range: journal.Range{First: 1, Last: 1}}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := r.Journal.Put(t.Context(), journal.Entry{Kind: journal.Backfill, ID: "heal_1", Account: "acc", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	for _, sink := range []string{"box", "bot"} {
		if _, err := r.State.Put(t.Context(), journal.CursorKey(sink), []byte(`{"next":1}`), journal.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	entry, err := r.Journal.Get(t.Context(), numbers[0])
	if err != nil {
		t.Fatal(err)
	}
	trace, err := query.Find(t.Context(), r.Journal, journal.DigestID(entry.Time, "bot", m))
	if err != nil || trace.Event.Seq != numbers[0] || trace.Event.Type != pipeline.DigestType || trace.Event.Account != "acc" || !trace.Journaled.Equal(entry.Time) {
		t.Errorf("trace %+v, %v", trace, err)
	}
	if _, err := query.Find(t.Context(), r.Journal, journal.DigestID(entry.Time, "ghost", m)); !errors.Is(err, query.ErrUnknownEvent) {
		t.Errorf("error %v", err)
	}
}
