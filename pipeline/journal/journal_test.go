package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestJournalKeepsOrderAndEverything(t *testing.T) {
	const n = 3000
	var told []uint64
	r := newRig(t, t.TempDir(), func(c *journal.Config) {
		c.Committed = func(records []journal.Record) {
			for i := range records {
				told = append(told, records[i].Number)
			}
		}
	})
	r.send("acc", 0, n)
	r.count("relay_events_journaled_total", n)
	if diff := cmp.Diff(stacktest.Titles(0, n), titlesOf(t, r.handed(""))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	// What is read from memory is what is on disk.
	if diff := cmp.Diff(stacktest.ReadAll(t, r.Log), r.records()); diff != "" {
		t.Errorf("records (-disk +journal):\n%s", diff)
	}
	r.stop()
	if len(told) != n || !slices.IsSorted(told) || told[0] != 1 || told[n-1] != n {
		t.Errorf("%d records were committed, from %d to %d", len(told), told[0], told[len(told)-1])
	}
}

func TestRejectsAreKept(t *testing.T) {
	r := newRig(t, t.TempDir())
	bad := []string{`null`, `"token-like text"`, `{"a":` + strings.Repeat("9", 300<<10) + `}`, ""}
	for _, b := range bad {
		e := journal.RejectEntry("acc", "treatstream", "not a treat", time.Now(), []byte(b))
		if err := r.Journal.Enqueue(t.Context(), journal.Item{Entry: e, Received: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	r.send("acc", 0, 1)
	r.count("relay_payloads_rejected_total", 4)
	r.count("relay_events_journaled_total", 1)
	var got []journal.RejectedPayload
	for _, rec := range r.records() {
		if rec.Kind != journal.Reject {
			continue
		}
		var p journal.RejectedPayload
		if err := json.Unmarshal(rec.Data, &p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if len(got) != 4 {
		t.Fatalf("%d rejects kept, want 4", len(got))
	}
	for i, b := range bad {
		if got[i].Size != len(b) || got[i].Payload != b[:min(len(b), 256<<10)] || got[i].Reason == "" || got[i].Account != "acc" {
			t.Errorf("reject %d: %d bytes, reason %q", i, got[i].Size, got[i].Reason)
		}
	}
}

func TestJournalSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.send("acc", 0, 200)
	r.count("relay_events_journaled_total", 200)
	// What a kill leaves on disk is what is on disk now: every acknowledged write is there.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = newRig(t, copied)
	if diff := cmp.Diff(stacktest.Titles(0, 200), titlesOf(t, r.handed(""))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// What may be put twice is written once: in one call, in two, beside a running committer or without one, and after a restart.
func TestPutOnce(t *testing.T) {
	dir := t.TempDir()
	r := openRig(t, dir)
	e := journal.Entry{Kind: journal.Resend, ID: "resend_1", EventID: "trt_1", Account: "acc", Sink: "bot", Data: []byte("{}")}
	other := e
	other.ID = "resend_2"
	first, err := r.Journal.Put(t.Context(), e, other, e)
	if err != nil || !slices.Equal(first, []uint64{1, 2, 1}) {
		t.Fatalf("numbers %v, %v", first, err)
	}
	if again, err := r.Journal.Put(t.Context(), other, e); err != nil || !slices.Equal(again, []uint64{2, 1}) {
		t.Errorf("numbers %v, %v", again, err)
	}
	r.stop()
	r = newRig(t, dir)
	var putters sync.WaitGroup
	for range 8 {
		putters.Go(func() {
			third := e
			third.ID = "resend_3"
			numbers, err := r.Journal.Put(t.Context(), e, third)
			if err != nil || !slices.Equal(numbers, []uint64{1, 3}) {
				t.Errorf("numbers %v, %v", numbers, err)
			}
		})
	}
	putters.Wait()
	// A test event is put by whoever does not know what is journaled.
	test := stacktest.Event("acc", pipeline.OriginTest, time.Now(), 1)
	for range 2 {
		if err := r.Journal.PutTest(t.Context(), &test, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.records()); got != 4 {
		t.Errorf("%d entries, want 4", got)
	}
	if got := r.Metric(r.t, "relay_events_journaled_total"); got != 0 {
		t.Errorf("%v events counted as journaled, of tests and of what is sent again", got)
	}
}

// A journal tolerates that somebody else appends to its log: it reads all, in order, is woken, and writes nothing twice.
func TestForeignWriter(t *testing.T) {
	r := newRig(t, t.TempDir())
	foreign := func(id string) {
		t.Helper()
		_, err := r.Log.Append(t.Context(), []journal.Entry{{
			Kind: journal.Resend, ID: id, EventID: "trt_" + id, Account: "acc", Sink: "bot", Time: time.Now(), Data: []byte("{}"),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
		_, next := r.Journal.Bounds()
		changed := r.Journal.Changed()
		want = append(want, id)
		if i%3 == 0 {
			numbers, err := r.Journal.Put(t.Context(), journal.Entry{Kind: journal.Resend, ID: id, EventID: "trt_" + id, Account: "acc", Sink: "bot", Data: []byte("{}")})
			if err != nil || numbers[0] != next {
				t.Fatalf("numbers %v, %v", numbers, err)
			}
		} else {
			foreign(id)
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody has heard of %s", id)
		}
		for at := range next + 1 {
			if records, err := r.Journal.Read(t.Context(), at, 10); err != nil || len(records) == 0 || records[0].Number != max(at, 1) {
				t.Fatalf("from %d: %v, %v", at, records, err)
			}
		}
	}
	// What others wrote is not written again.
	for i, id := range want {
		numbers, err := r.Journal.Put(t.Context(), journal.Entry{Kind: journal.Resend, ID: id, EventID: "trt_" + id, Account: "acc", Sink: "bot", Data: []byte("{}")})
		if err != nil || numbers[0] != uint64(i+1) {
			t.Errorf("%s: numbers %v, %v", id, numbers, err)
		}
	}
	var got []string
	for _, rec := range r.records() {
		got = append(got, rec.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("journal %v, want %v", got, want)
	}
	// A dead letter that somebody else keeps and deletes is known.
	dead := journal.Entry{Kind: journal.Dead, ID: "dead_bot_1", Ref: 1, EventID: "trt_a", Account: "acc", Sink: "bot", Time: time.Now(), Data: []byte(`{"sink":"bot","id":"trt_a","seq":1}`)}
	numbers, err := r.Log.Append(t.Context(), []journal.Entry{dead})
	if err != nil {
		t.Fatal(err)
	}
	if letters := r.letters(1, journal.DeadLetterFilter{}); letters[0].Number != numbers[0] {
		t.Errorf("dead letter %+v", letters[0])
	}
	if _, err := r.Log.Append(t.Context(), []journal.Entry{{Kind: journal.Purge, ID: "purge", Ref: numbers[0], Time: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	r.letters(0, journal.DeadLetterFilter{})
}

// Sources wait while the queue is full, by the bytes as well, and give up with their context.
func TestEnqueueWaitsWhileTheQueueIsFull(t *testing.T) {
	r := openRig(t, t.TempDir()) // nobody runs it
	item := journal.Item{Entry: journal.Entry{Kind: journal.Reject, Account: "acc", Data: make([]byte, 1<<20)}}
	gaveUp := errors.New("gave up")
	n := 0
	for ; ; n++ {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, gaveUp)
		err := r.Journal.Enqueue(ctx, item)
		cancel()
		if err != nil {
			if !errors.Is(err, gaveUp) || !strings.Contains(err.Error(), "acc") {
				t.Errorf("error %v", err)
			}
			break
		}
	}
	if n < journal.QueueBytes>>21 || n > journal.QueueBytes>>20 {
		t.Errorf("%d MiB in the queue", n)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- r.Journal.Enqueue(t.Context(), item) }()
	done := make(chan error, 1)
	go func() { done <- r.Journal.Run(t.Context()) }()
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	r.Journal.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := len(r.records()); got != n+1 {
		t.Errorf("%d entries, want %d", got, n+1)
	}
	if err := r.Journal.Enqueue(t.Context(), item); err == nil {
		t.Error("a journal that has ended takes an entry")
	}
	if _, err := r.Journal.Put(t.Context(), item.Entry); err == nil {
		t.Error("a journal that has ended takes an entry")
	}
}

// One entry that is too large for the log does not hold up those beside it, and a part of it is kept.
func TestTooLarge(t *testing.T) {
	r := openRig(t, t.TempDir())
	event := stacktest.Event("acc", pipeline.OriginLive, time.Now(), 0)
	good := treatItem(t, &event).Entry
	huge := good
	huge.ID, huge.Data = "trt_huge", make([]byte, 64<<20)
	resend := journal.Entry{Kind: journal.Resend, ID: "r", EventID: "trt_huge", Sink: "bot", Data: huge.Data}
	numbers, err := r.Journal.Put(t.Context(), good, huge, resend, good)
	if !errors.Is(err, journal.ErrTooLarge) || !slices.Equal(numbers, []uint64{1, 2, 0, 3}) {
		t.Fatalf("numbers %v, %v", numbers, err)
	}
	rec, err := r.Journal.Get(t.Context(), 2)
	var kept journal.RejectedPayload
	if err == nil {
		err = json.Unmarshal(rec.Data, &kept)
	}
	if err != nil || rec.Kind != journal.Reject || kept.Size != 64<<20 || kept.Account != "acc" || kept.Payload == "" {
		t.Errorf("record of kind %d, %d bytes, %v", rec.Kind, kept.Size, err)
	}
	if got := r.Metric(r.t, "relay_payloads_rejected_total"); got != 1 {
		t.Errorf("%v rejects", got)
	}
}

// The committer is stuck while one step does not end, and only then.
func TestJournalIsStuckWhileAStepDoesNotEnd(t *testing.T) {
	r := newRig(t, t.TempDir())
	if stuck := r.Journal.Stuck(); stuck != 0 {
		t.Errorf("stuck for %v with nothing to do", stuck)
	}
	in, out := make(chan struct{}), make(chan struct{})
	item := journal.Item{Entry: journal.Entry{Kind: journal.Known, Account: "acc"}, Done: func(uint64, error) { close(in); <-out }}
	if err := r.Journal.Enqueue(t.Context(), item); err != nil {
		t.Fatal(err)
	}
	<-in
	earlier := r.Journal.Stuck()
	time.Sleep(time.Millisecond)
	if later := r.Journal.Stuck(); later <= earlier || earlier <= 0 {
		t.Errorf("stuck for %v, then for %v", earlier, later)
	}
	close(out)
	for deadline := time.Now().Add(time.Minute); r.Journal.Stuck() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("stuck for ever")
		}
	}
}

// A trace gets each treat once when it is on disk, and nothing else.
func TestStages(t *testing.T) {
	var mu sync.Mutex
	var told []string
	r := newRig(t, t.TempDir(), func(c *journal.Config) {
		c.OnStage = func(s pipeline.Stage) {
			mu.Lock()
			defer mu.Unlock()
			if s.Account != "acc" || s.Provider != "treatstream" || s.Origin != pipeline.OriginLive || s.Ended.Before(s.Began) || s.Sink != "" || s.Seq != 0 || s.Err != nil {
				t.Errorf("stage %+v", s)
			}
			told = append(told, s.ID)
		}
	})
	if err := r.Journal.Resend(t.Context(), "box", pipeline.Record{ID: "alt_1", Account: "acc", Type: pipeline.AlertType, Line: []byte("{}")}, "alt_1"); err != nil {
		t.Fatal(err)
	}
	reject := journal.RejectEntry("acc", "treatstream", "no", time.Now(), nil)
	if err := r.Journal.Enqueue(t.Context(), journal.Item{Entry: reject}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for n := range 6 {
		e, _ := r.put("acc", pipeline.OriginLive, time.Now(), n)
		want = append(want, e.ID)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}
