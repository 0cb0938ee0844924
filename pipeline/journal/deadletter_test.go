package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// letters waits until there are n dead letters that match.
func (r *rig) letters(n int, f journal.DeadLetterFilter) (letters []journal.DeadLetter) {
	r.t.Helper()
	for d, err := range r.Journal.DeadLetters(r.t.Context(), f) {
		if err != nil {
			r.t.Fatal(err)
		}
		letters = append(letters, d)
	}
	if len(letters) != n {
		r.t.Fatalf("%d dead letters, want %d", len(letters), n)
	}
	return letters
}

// An event that is redriven keeps its id, and becomes a dead letter again if it is refused again.
func TestRedrive(t *testing.T) {
	r := newRig(t, t.TempDir())
	for n := range 3 {
		r.put("acc", pipeline.OriginLive, time.Now(), n)
	}
	if err := r.Journal.KeepDeadLetter(t.Context(), "box", "400 Bad Request", 1, r.record(2)); err != nil {
		t.Fatal(err)
	}
	first := r.letters(1, journal.DeadLetterFilter{})[0]
	if err := r.Journal.Redrive(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	r.letters(0, journal.DeadLetterFilter{})
	again := r.resent("box")
	if len(again) != 1 {
		t.Fatalf("%d events for the sink, want 1", len(again))
	}
	if err := r.Journal.KeepDeadLetter(t.Context(), "box", "400 Bad Request", 1, again[0]); err != nil {
		t.Fatal(err)
	}
	second := r.letters(1, journal.DeadLetterFilter{})[0]
	if second.Number == first.Number || second.ID != first.ID || second.Account != "acc" || second.Provider != "treatstream" ||
		second.Origin != pipeline.OriginLive || second.Type != pipeline.EventType {
		t.Errorf("dead letter %+v", second)
	}
	if err := r.Journal.Redrive(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	last := r.resent("box")[1]
	if last.ID != first.ID || last.Provider != "treatstream" || last.Origin != pipeline.OriginLive || string(last.Line) != string(first.Event) || last.Type != pipeline.EventType {
		t.Errorf("redriven record %+v", last)
	}
	if titles := titlesOf(t, r.handed("box")); !slices.Equal(titles, []string{"t000000", "t000001", "t000002", "t000001", "t000001"}) {
		t.Errorf("the sink is handed %v", titles)
	}
	r.letters(0, journal.DeadLetterFilter{})
}

// A dead letter is kept, redriven and deleted once, however often it is said, also over restarts.
func TestDeadLetterOnce(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.put("acc", pipeline.OriginLive, time.Now(), 0)
	r.put("acc", pipeline.OriginLive, time.Now(), 1)
	for range 2 {
		for number := range uint64(2) {
			if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, r.record(number+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	letters := r.letters(2, journal.DeadLetterFilter{})
	for range 3 {
		for range 2 { // also if somebody else was faster
			if err := errors.Join(r.Journal.Redrive(t.Context(), letters[0]), r.Journal.DeleteDeadLetter(t.Context(), letters[1])); err != nil {
				t.Fatal(err)
			}
		}
		r.letters(0, journal.DeadLetterFilter{})
		r.stop()
		r = newRig(t, dir)
	}
	if err := errors.Join(r.Journal.DeleteDeadLetter(t.Context(), letters[0]), r.Journal.Redrive(t.Context(), letters[1])); err != nil {
		t.Fatal(err)
	}
	if n := len(r.resent("bot")); n != 1 {
		t.Errorf("%d entries for the sink, want 1", n)
	}
	if n := len(r.records()); n != 6 { // two treats, two dead letters, a redrive, a purge
		t.Errorf("%d entries, want 6", n)
	}
}

// Two that redrive at the same time give the event once.
func TestRedriveByTwo(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.put("acc", pipeline.OriginLive, time.Now(), 0)
	if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, r.record(1)); err != nil {
		t.Fatal(err)
	}
	d := r.letters(1, journal.DeadLetterFilter{})[0]
	// Another process wrote it between the look and the write of this one.
	if err := r.Journal.Resend(t.Context(), d.Sink, r.record(1), journal.RedriveID+strconv.FormatUint(d.Number, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Journal.Redrive(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := len(r.resent("bot")); n != 1 {
		t.Errorf("%d entries for the sink, want 1", n)
	}
}

// An event that does not fit beside the rest of its dead letter is taken from the journal, and the dead letter stays if the
// journal does not hold it.
func TestRedriveLargeEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	e, _ := r.put("acc", pipeline.OriginLive, time.Now(), 0)
	rec := r.record(1)
	large := rec
	large.Line = []byte(`"` + strings.Repeat("x", 9<<20) + `"`)
	if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, large); err != nil {
		t.Fatal(err)
	}
	large.Seq = 1000
	if err := r.Journal.KeepDeadLetter(t.Context(), "later", "no", 1, large); err != nil {
		t.Fatal(err)
	}
	letters := r.letters(2, journal.DeadLetterFilter{Accounts: []string{"acc"}})
	if len(letters[0].Event) > 0 {
		t.Fatal("the event fits")
	}
	if err := r.Journal.Redrive(t.Context(), letters[0]); err != nil {
		t.Fatal(err)
	}
	if again := r.resent("bot"); len(again) != 1 || string(again[0].Line) != string(rec.Line) || again[0].ID != e.ID {
		t.Errorf("sent again: %v", again)
	}
	if err := r.Journal.Redrive(t.Context(), letters[1]); !errors.Is(err, journal.ErrEventGone) {
		t.Errorf("error %v, want %v", err, journal.ErrEventGone)
	}
	r.letters(1, journal.DeadLetterFilter{Sinks: []string{"later"}})
}

func TestDeadLetterFilter(t *testing.T) {
	r := newRig(t, t.TempDir())
	for i, d := range []struct{ sink, account, id, reason string }{
		{"bot", "a", "trt_1", "answered 404 Not Found"},
		{"bot", "b", "trt_2", "answered 400 Bad Request"},
		{"chat", "a", "trt_1", "answered 404 Not Found"},
		{"chat2", "c", "trt_3", "too large"},
	} {
		rec := pipeline.Record{Seq: uint64(i + 1), ID: d.id, Account: d.account, Line: []byte("{}")}
		if err := r.Journal.KeepDeadLetter(t.Context(), d.sink, d.reason, 1, rec); err != nil {
			t.Fatal(err)
		}
	}
	all := r.letters(4, journal.DeadLetterFilter{})
	for _, tt := range []struct {
		name   string
		filter journal.DeadLetterFilter
		want   []int
	}{
		{"sink", journal.DeadLetterFilter{Sinks: []string{"chat"}}, []int{2}},
		{"sinks", journal.DeadLetterFilter{Sinks: []string{"chat", "bot", "bot"}}, []int{0, 1, 2}},
		{"account", journal.DeadLetterFilter{Accounts: []string{"a"}}, []int{0, 2}},
		{"both", journal.DeadLetterFilter{Accounts: []string{"a"}, Sinks: []string{"bot"}}, []int{0}},
		{"id", journal.DeadLetterFilter{IDs: []string{"trt_1"}}, []int{0, 2}},
		{"number", journal.DeadLetterFilter{Numbers: []uint64{all[1].Number}}, []int{1}},
		{"numbers", journal.DeadLetterFilter{Numbers: []uint64{all[3].Number, all[1].Number}}, []int{1, 3}},
		{"number or id", journal.DeadLetterFilter{Numbers: []uint64{all[1].Number}, IDs: []string{"trt_3"}}, []int{1, 3}},
		{"unknown number", journal.DeadLetterFilter{Numbers: []uint64{0, 999}}, nil},
		{"reason", journal.DeadLetterFilter{Reason: "not found"}, []int{0, 2}},
		{"since", journal.DeadLetterFilter{Since: all[2].Time}, []int{2, 3}},
		{"until", journal.DeadLetterFilter{Until: all[2].Time}, []int{0, 1}},
		{"tomorrow", journal.DeadLetterFilter{Since: time.Now().Add(24 * time.Hour)}, nil},
		{"nothing", journal.DeadLetterFilter{Sinks: []string{"ghost"}}, nil},
	} {
		var got []int
		for d, err := range r.Journal.DeadLetters(t.Context(), tt.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, slices.IndexFunc(all, func(other journal.DeadLetter) bool { return other.Number == d.Number }))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Any number of dead letters is gone through in little memory, also while they are deleted.
func TestManyDeadLetters(t *testing.T) {
	const n, each = 30_000, 1000
	r := openRig(t, t.TempDir())
	event := `{"pad":"` + strings.Repeat("x", each) + `"}`
	for i := 0; i < n; i += 1000 {
		var batch []journal.Entry
		for k := i; k < i+1000; k++ {
			id := fmt.Sprint("trt_", k)
			data := fmt.Sprintf(`{"sink":"bot","reason":"no","id":"%s","account":"acc","event":%s}`, id, event)
			batch = append(batch, journal.Entry{Kind: journal.Dead, ID: "dead_" + id, Sink: "bot", EventID: id, Account: "acc", Time: time.Now(), Data: []byte(data)})
		}
		if _, err := r.Log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak, seen := heap(), uint64(0), 0
	for d, err := range r.Journal.DeadLetters(t.Context(), journal.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen%5_000 == 1 {
			if err := r.Journal.DeleteDeadLetter(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if seen%5_000 == 0 {
			peak = max(peak, heap())
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d dead letters, want %d", seen, n)
	}
	if peak > before+8<<20 {
		t.Errorf("%d MiB more than before, of %d MiB of dead letters", (peak-before)>>20, n*each>>20)
	}
	r.letters(1, journal.DeadLetterFilter{Numbers: []uint64{n}})
	r.letters(0, journal.DeadLetterFilter{Numbers: []uint64{2}}) // deleted
	statuses, err := query.Sinks(t.Context(), r.Journal, []string{"bot"})
	if err != nil || statuses[0].DeadLetters != n-6 {
		t.Errorf("status %+v, %v", statuses, err)
	}
}

// The table of dead letters is made again from the journal when the state is lost or damaged.
func TestDeadLettersOutliveTheState(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	for n := range 6 {
		_, number := r.put("acc", pipeline.OriginLive, time.Now(), n)
		if err := r.Journal.KeepDeadLetter(t.Context(), "bot", fmt.Sprint("reason ", n), n, r.record(number)); err != nil {
			t.Fatal(err)
		}
	}
	letters := r.letters(6, journal.DeadLetterFilter{})
	if err := errors.Join(r.Journal.Redrive(t.Context(), letters[1]), r.Journal.DeleteDeadLetter(t.Context(), letters[3])); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(r.letters(4, journal.DeadLetterFilter{}))
	r.stop()
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"zeros":   func(path string) error { return os.WriteFile(path, make([]byte, 4096), 0o600) },
		"all": func(path string) error {
			return os.RemoveAll(filepath.Dir(path))
		},
	} {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := spoil(filepath.Join(copied, "state", "state.db")); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, copied)
		if got := fmt.Sprint(r.letters(4, journal.DeadLetterFilter{})); got != want {
			t.Errorf("%s: dead letters %s, want %s", name, got, want)
		}
		r.stop()
	}
}

// A dead letter whose entry in the journal is damaged is listed with what is known, and redriven from the journal's event.
func TestDamagedDeadLetter(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	e, number := r.put("acc", pipeline.OriginLive, time.Now(), 0)
	if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "a reason of its own", 3, r.record(number)); err != nil {
		t.Fatal(err)
	}
	r.put("acc", pipeline.OriginLive, time.Now(), 1)
	r.stop()
	flip(t, filepath.Join(dir, "journal"), "a reason of its own")
	for range 2 {
		r = newRig(t, dir)
		if _, err := r.Journal.Get(t.Context(), number+1); !errors.Is(err, journal.ErrNotHeld) {
			t.Fatalf("the entry is not damaged: %v", err)
		}
		d := r.letters(1, journal.DeadLetterFilter{Sinks: []string{"bot"}, IDs: []string{e.ID}})[0]
		if d.Number != number+1 || d.Seq != number || d.Attempts != 3 || d.Reason != "a reason of its own" || d.Account != "acc" || d.Time.IsZero() {
			t.Errorf("dead letter %+v", d)
		}
		r.stop()
		// Also if the table is made again: what it knew and the journal has lost stays.
		r = openRig(t, dir)
		if err := r.State.Delete(t.Context(), journal.DerivedKey); err != nil {
			t.Fatal(err)
		}
		r.stop()
	}
	r = newRig(t, dir)
	if err := r.Journal.Redrive(t.Context(), r.letters(1, journal.DeadLetterFilter{})[0]); err != nil {
		t.Fatal(err)
	}
	if again := r.resent("bot"); len(again) != 1 || again[0].ID != e.ID {
		t.Errorf("sent again: %v", again)
	}
	r.letters(0, journal.DeadLetterFilter{})
}

// flip damages one byte of the files of a log, in that text.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(b), text); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in no file of %s", text, dir)
}
