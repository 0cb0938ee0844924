package intake

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestJournalKeepsOrderAndEverything(t *testing.T) {
	const n = 3000
	r := newRig(t, t.TempDir())
	r.send(r.intake("acc"), 0, n)
	r.count("relay_events_journaled_total", n)
	if diff := cmp.Diff(stacktest.Titles(0, n), titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestExactRepeatsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	in := r.intake("acc")
	r.send(in, 7, 8)
	r.send(in, 7, 8)
	r.count("relay_events_journaled_total", 2)
	r.stop()

	r = newRig(t, dir)
	r.send(r.intake("acc"), 7, 8) // continues the count
	r.count("relay_events_journaled_total", 1)
	events := r.journaled("acc")
	if len(events) != 3 {
		t.Fatalf("%d events in the journal, want 3", len(events))
	}
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.ID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d ids for 3 equal treats, want 3", len(ids))
	}
}

// What is remembered beside the index is bounded. The count goes on from the index.
func TestExactRepeatsAfterMany(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	r.send(in, 7, 8)
	r.send(in, 7, 8)
	r.send(in, 100, 100+repeatLimit)
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(in, 0, 10) // the first of which settles
	r.send(in, 0, 10)
	if n := len(in.repeats.counts); n > 100 {
		t.Errorf("%d contents are remembered", n)
	}
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Metric(r.t, "relay_events_journaled_total"); got != 22+repeatLimit {
		t.Errorf("%v events journaled, want %d", got, 22+repeatLimit)
	}
	ids := map[string]bool{}
	for _, e := range r.journaled("acc") {
		if ids[e.ID] {
			t.Fatalf("id %s twice", e.ID)
		}
		ids[e.ID] = true
	}
}

// A treat that comes again after long is refused, whatever has been forgotten of it: over all of the retention, by a process that saw it and by another.
func TestTreatsComeAgainAfterLong(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	in := r.intake("acc")
	r.send(in, 0, 3)
	r.send(in, 1, 2) // twice
	r.count("relay_events_journaled_total", 4)
	in.forget(time.Now().Add(3 * time.Hour))
	in.repeats.seen = 0 // as if it were 3 hours runNext
	r.send(in, 0, 3)
	r.send(in, 1, 2)
	r.count("relay_events_duplicate_total", 4)
	r.send(in, 1, 2) // this is a third one
	r.count("relay_events_journaled_total", 5)
	r.stop()

	r = newRig(t, dir)
	in = r.intakeOf("acc", stacktest.Logger(t)) // which looks at nothing, as after more than 10 minutes
	r.send(in, 0, 3)
	r.send(in, 1, 2)
	r.send(in, 1, 2)
	r.count("relay_events_duplicate_total", 5)
	r.send(in, 3, 4)
	r.count("relay_events_journaled_total", 1)
	if got := r.Metric(r.t, "relay_events_duplicate_total"); got != 5 {
		t.Errorf("%v duplicates, want 5", got)
	}
}

// A date that is spelled in another way makes another event, with an id of its own.
func TestSameSecondOfAnotherSpelling(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.live(r.intake("acc"), json.RawMessage(`{"title":"Tea","date_created":"2026-07-16T21:00:00"}`))
	r.count("relay_events_journaled_total", 1)
	r.live(r.intakeOf("acc", stacktest.Logger(t)), json.RawMessage(`{"title":"Tea","date_created":"2026-07-16 21:00:00"}`))
	r.count("relay_events_journaled_total", 2)
	if events := r.journaled("acc"); len(events) != 2 || events[0].ID == events[1].ID {
		t.Errorf("%d events", len(events))
	}
}

// Two intakes of one account receive the same treats: each is journaled once. (Two processes cannot use one data folder, and on a server an account
// belongs to one relay at a time.)
func TestTwoIntakesJournalATreatOnce(t *testing.T) {
	r := newRig(t, t.TempDir())
	a, b := r.intake("acc"), r.intake("acc")
	r.send(a, 0, 50)
	r.send(b, 0, 50)
	r.count("relay_events_journaled_total", 50)
	r.count("relay_events_duplicate_total", 50)

	// The second one was away for a while and continues where the first one is, repeats included.
	r.send(a, 49, 51)
	r.count("relay_events_journaled_total", 52)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(a, 49, 50)
	r.send(b, 49, 50)
	r.count("relay_events_journaled_total", 53)
	r.count("relay_events_duplicate_total", 51)
}

func TestUndatedTreatsAreNeverTakenForRepeats(t *testing.T) {
	r := newRig(t, t.TempDir())
	for range 2 {
		in := r.intake("acc")
		r.live(in, json.RawMessage(`{"title":"Tea"}`))
		r.live(in, json.RawMessage(`[{"title":"Tea"},{"title":"Tea","date_created":"soon"}]`))
	}
	r.count("relay_events_journaled_total", 6)
	if got := r.Metric(r.t, "relay_events_duplicate_total"); got != 0 {
		t.Errorf("%v duplicates", got)
	}
}

func TestRejectsAreKept(t *testing.T) {
	const maxRejected = 256 << 10
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	bad := []string{`null`, `"token-like text"`, `{"a":` + strings.Repeat("9", 300<<10) + `}`}
	for _, b := range bad {
		r.live(in, json.RawMessage(b))
	}
	if err := in.Handle(t.Context(), nil, time.Now()); err != nil { // realTimeTreat without an argument
		t.Fatal(err)
	}
	r.send(in, 0, 1)
	r.count("relay_payloads_rejected_total", 4)
	r.count("relay_events_journaled_total", 1)

	var got []journal.RejectedPayload
	for _, one := range r.records() {
		if one.Kind != journal.Reject {
			continue
		}
		var rej journal.RejectedPayload
		if err := json.Unmarshal(one.Data, &rej); err != nil {
			t.Fatal(err)
		}
		got = append(got, rej)
	}
	if len(got) != 4 {
		t.Fatalf("%d rejects kept, want 4", len(got))
	}
	for i, b := range bad {
		if got[i].Size != len(b) || got[i].Payload != b[:min(len(b), maxRejected)] || got[i].Reason == "" || got[i].Account != "acc" {
			t.Errorf("reject %d: %d bytes, reason %q", i, got[i].Size, got[i].Reason)
		}
	}
}

// An event that the journal will not take is kept as a reject.
func TestEventTooLarge(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	r.live(in, json.RawMessage(`{"title":"Tea","message":"`+strings.Repeat("\u2028", 3<<20)+`"}`)) // which is escaped in an event
	r.send(in, 0, 1)
	r.count("relay_events_journaled_total", 1)
	r.count("relay_payloads_rejected_total", 1)
}

func TestJournalSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.send(r.intake("acc"), 0, 200)
	r.count("relay_events_journaled_total", 200)
	// What a kill leaves on disk is what is on disk now: every acknowledged write is there.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = newRig(t, copied)
	if diff := cmp.Diff(stacktest.Titles(0, 200), titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if n := r.Index.Count(); n != 200 {
		t.Errorf("%d treats in the index, want 200", n)
	}
}

// CatchUp gives up with its context while a payload waits for the journal.
func TestCatchUpGivesUp(t *testing.T) {
	errOver := errors.New("over")
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	in.lock.token <- struct{}{} // a payload waits
	defer func() { <-in.lock.token }()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errOver)
	defer cancel()
	if err := in.CatchUp(ctx); !errors.Is(err, errOver) {
		t.Errorf("error %v, want the cause of the end of ctx", err)
	}
}

// Flush waits for the disk, each of several at a time, and gives up with its context.
func TestFlush(t *testing.T) {
	errOver := errors.New("over")
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	r.disk.Lock()
	r.send(in, 0, 10)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errOver)
	defer cancel()
	if err := in.Flush(ctx); !errors.Is(err, errOver) {
		t.Errorf("error %v, want the cause of the end of ctx", err)
	}
	all := make(chan error, 3)
	for range cap(all) {
		go func() { all <- in.Flush(t.Context()) }()
	}
	r.disk.Unlock()
	for range cap(all) {
		if err := <-all; err != nil {
			t.Error(err)
		}
	}
	if got := len(r.journaled("acc")); got != 10 {
		t.Errorf("%d events after a flush, want 10", got)
	}
}

func TestTestEvent(t *testing.T) {
	norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.FixedZone("", 7200)}
	at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	a, b := norm.TestEvent(at, "Ann", "Tea", "hi"), norm.TestEvent(at, "", "Tea", "hi")
	if !a.Time.Equal(at) || *a.Data.DateCreated != "2026-07-16 23:00:00" || a.Origin != pipeline.OriginTest || a.ID == b.ID || !strings.HasPrefix(a.ID, "tst_") {
		t.Errorf("%+v", a)
	}
	if a.Data.Anonymous || !b.Data.Anonymous || b.Data.Sender != nil {
		t.Errorf("senders %v and %v", a.Data.Sender, b.Data.Sender)
	}
}

// What was exported from one journal can be put into another: it is known there, as often as it was journaled, and to the history too.
func TestImport(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	in := r.intake("acc")
	r.live(in, dish("a", begin, 0))
	r.live(in, dish("a", begin, 0))
	r.live(in, dish("b", begin, 1))
	r.live(in, json.RawMessage(`{"title":"undated"}`))
	test := in.norm.TestEvent(time.Now(), "s", "test", "")
	if err := r.Journal.PutTest(t.Context(), &test, ""); err != nil {
		t.Fatal(err)
	}
	r.count("relay_events_journaled_total", 4) // tests are not counted
	var lines [][]byte
	for _, one := range r.records() {
		lines = append(lines, one.Data)
	}

	other := newRigKept(t, t.TempDir(), 840*time.Hour)
	p := &provider{}
	oin := other.intake("acc")
	rec := other.reconciler(oin, p, ReconcileConfig{})
	other.reconcile(rec)
	for round := range 3 {
		if round == 2 { // a fresh process
			other.stop()
			other = newRigKept(t, other.dir, 840*time.Hour)
			oin = other.intakeOf("acc", stacktest.Logger(t))
			rec = other.reconciler(oin, p, ReconcileConfig{})
		}
		var entries []journal.Entry
		for _, line := range lines {
			e, err := ImportEntry(line)
			if err != nil {
				t.Fatal(err)
			}
			has, err := other.Index.Has(t.Context(), &e)
			if err != nil || has != (round > 0) {
				t.Fatalf("round %d: the journal has %s: %v, %v", round, e.ID, has, err)
			}
			if again, err := other.Index.Has(t.Context(), &e); err != nil || !again {
				t.Fatalf("asked again: %v, %v", again, err)
			}
			if !has {
				entries = append(entries, e)
			}
		}
		if _, err := other.Journal.Put(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	for i, one := range other.records()[1:] { // after the baseline
		if one.Kind != journal.Import || string(one.Data) != string(lines[i]) {
			t.Errorf("entry %d of kind %d: %s", i, one.Kind, one.Data)
		}
	}
	p.add(dish("a", begin, 0), dish("a", begin, 0), dish("b", begin, 1), dish("b", begin, 1))
	if got := other.reconcile(rec); got.Healed != 1 {
		t.Errorf("what was imported is known to the comparison: %+v", got)
	}
	other.want("acc", "b+")
	for _, bad := range []string{
		``, `{}`, `null`, `{"specversion":"1.0"}`, strings.Replace(string(lines[0]), `"id":"trt_`, `"id":"x_`, 1)[:40],
		strings.Replace(string(lines[0]), `"type":"treatrelay.treat.v1"`, `"type":"treatrelay.alert.v1"`, 1),
		strings.Replace(string(lines[0]), `"account":"acc"`, `"account":""`, 1),
	} {
		if e, err := ImportEntry([]byte(bad)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s is imported as %+v, %v", bad, e, err)
		}
	}
}

// TestArgumentsAreJournaled hands an event with several arguments to an intake.
func TestArgumentsAreJournaled(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	args := []json.RawMessage{json.RawMessage(`"id-1"`), payload(0), json.RawMessage(`{"name":"Car"}`), json.RawMessage(`{"data":` + string(payload(1)) + `}`)}
	if err := in.Handle(t.Context(), args, time.Now()); err != nil {
		t.Fatal(err)
	}
	r.count("relay_events_journaled_total", 2)
	if got, want := titles(r.journaled("acc")), stacktest.Titles(0, 2); !slices.Equal(got, want) {
		t.Errorf("treats %q, want %q", got, want)
	}
	rejects := 0
	for _, rec := range r.records() {
		if rec.Kind == journal.Reject {
			rejects++
			if !strings.Contains(string(rec.Data), "Car") || strings.Contains(string(rec.Data), "id-1") {
				t.Errorf("reject %s", rec.Data)
			}
		}
	}
	if rejects != 1 {
		t.Errorf("%d rejects, want 1", rejects)
	}
}
