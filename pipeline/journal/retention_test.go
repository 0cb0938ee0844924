package journal_test

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Numbers that the state knows and the log has lost, as after a restored backup, are not given again.
func TestLostEnd(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.send("acc", 0, 10)
	r.count("relay_events_journaled_total", 10)
	r.stop()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(dir+"/journal")); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, dir)
	r.send("acc", 10, 15)
	r.count("relay_events_journaled_total", 5)
	cursor, err := json.Marshal(journal.Cursor{Next: 15})
	if err == nil {
		_, err = r.State.Put(t.Context(), journal.CursorKey("bot"), cursor, journal.AnyRevision)
	}
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir() // as after a kill: nothing was noted at the end
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := os.RemoveAll(copied + "/journal"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(copied+"/journal", os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, copied)
	if _, next := r.Journal.Bounds(); next != 15 {
		t.Errorf("the next number is %d, want 15", next)
	}
	gaps, err := r.Journal.Gaps(t.Context())
	if err != nil || !slices.Equal(gaps, []journal.Range{{First: 11, Last: 14}}) {
		t.Errorf("gaps %v, %v", gaps, err)
	}
	if _, number := r.put("acc", pipeline.OriginLive, time.Now(), 20); number != 15 {
		t.Errorf("number %d, want 15", number)
	}
	if got := r.Journal; len(r.records()) != 11 {
		t.Errorf("%d records in %v", len(r.records()), got)
	}
}

// Times never fall, whatever the clock does, and are found.
func TestSeekTime(t *testing.T) {
	r := openRig(t, t.TempDir())
	start := time.Now().Add(-time.Hour).UTC()
	for i := range 300 {
		e := stacktest.Event("acc", pipeline.OriginLive, start, i)
		entry := treatItem(t, &e).Entry
		entry.Time = start.Add(time.Duration(i/3) * time.Second)
		if _, err := r.Journal.Put(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	for second, want := range map[int]uint64{-1: 1, 0: 1, 1: 4, 50: 151, 99: 298, 100: 301} {
		got, err := r.Journal.SeekTime(t.Context(), start.Add(time.Duration(second)*time.Second))
		if err != nil || got != want {
			t.Errorf("second %d: number %d, want %d (%v)", second, got, want, err)
		}
	}
}

// What is older than the retention is dropped, and forgotten in memory and state, whatever the lanes have not got.
func TestRetention(t *testing.T) {
	r := openRig(t, t.TempDir()) // nobody runs it, which would drop them at once
	old := time.Now().Add(-2 * time.Hour)
	line := json.RawMessage(`"` + strings.Repeat("x", 32<<10) + `"`)
	for i := range 40 { // several segments
		number := uint64(i + 1)
		entry := journal.Entry{
			Kind: journal.Dead, ID: "dead_bot_" + string(rune('a'+i)), Ref: number, Sink: "bot", EventID: "trt", Time: old, Data: []byte(`{"sink":"bot","event":` + string(line) + `}`),
		}
		if _, err := r.Journal.Put(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	r.letters(40, journal.DeadLetterFilter{})
	for n := range 3 {
		r.put("acc", pipeline.OriginLive, time.Now(), n)
	}
	if err := r.Journal.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := r.Journal.Bounds()
	if first <= 1 {
		t.Fatal("nothing was dropped")
	}
	left := r.records()
	if left[0].Number != first || len(r.letters(int(41-first), journal.DeadLetterFilter{})) != int(41-first) {
		t.Errorf("the journal begins with %d, want %d", left[0].Number, first)
	}
	if _, _, err := r.State.Get(t.Context(), journal.DeadKey(1)); !errors.Is(err, journal.ErrNoKey) {
		t.Errorf("the state still knows dead letter 1: %v", err)
	}
	if titles := titlesOf(t, r.handed("")); !slices.Equal(titles, stacktest.Titles(0, 3)) {
		t.Errorf("events %v", titles)
	}
}

// Large treats at full speed are held in bounded memory: the source waits.
func TestLargeTreatsInBoundedMemory(t *testing.T) {
	r := newRig(t, t.TempDir())
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 200
	before, peak := heap(), uint64(0)
	for i := range n {
		entry := journal.Entry{Kind: journal.Reject, Account: "acc", Data: make([]byte, 1<<20)}
		if err := r.Journal.Enqueue(t.Context(), journal.Item{Entry: entry, Received: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			peak = max(peak, heap())
		}
	}
	r.count("relay_payloads_rejected_total", n)
	peak = max(peak, heap())
	if peak > before+64<<20 {
		t.Errorf("%d MiB of memory for %d MiB of treats", (peak-before)>>20, n)
	}
}
