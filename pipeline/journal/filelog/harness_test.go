package filelog

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

// epoch is the start of the times of the tests' entries.
var epoch = time.Unix(1790000000, 0).UTC()

func entry(i int) journal.Entry {
	return journal.Entry{
		Kind: journal.Treat, ID: fmt.Sprintf("trt_%d", i), Time: epoch.Add(time.Duration(i) * time.Second), Account: "mystream",
		Provider: "treatstream", Origin: "live", Repeat: 1, Data: fmt.Appendf(nil, `{"id":"trt_%d","text":"hello %d"}`, i, i*i),
	}
}

func entries(from, n int) []journal.Entry {
	all := make([]journal.Entry, n)
	for i := range all {
		all[i] = entry(from + i)
	}
	return all
}

// rig opens logs and remembers what damage they report.
type rig struct {
	t       testing.TB
	opts    Options
	mu      sync.Mutex
	damages []Damage
}

func newRig(t testing.TB, segment int64) *rig {
	t.Helper()
	r := &rig{t: t}
	r.opts = Options{Dir: t.TempDir(), SegmentSize: segment, Log: zerolog.Nop(), Damaged: func(d Damage) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.damages = append(r.damages, d)
	}}
	return r
}

func (r *rig) reported() []Damage {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.damages
	r.damages = nil
	return all
}

func (r *rig) open() *Log {
	r.t.Helper()
	l, err := Open(r.t.Context(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// add appends entries and checks that they get the numbers from first on.
func add(t testing.TB, l *Log, first uint64, all []journal.Entry) {
	t.Helper()
	numbers, err := l.Append(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range numbers {
		if n != first+uint64(i) {
			t.Fatalf("number %d, want %d", n, first+uint64(i))
		}
	}
}

// all reads everything in pieces.
func all(t testing.TB, l *Log, limit int) []journal.Record {
	t.Helper()
	var records []journal.Record
	for from := uint64(1); ; {
		some, err := l.Read(t.Context(), from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return records
		}
		records = append(records, some...)
		from = some[len(some)-1].Number + 1
	}
}

// check compares records with the entries that the numbers from 1 on have, but those in lost.
func check(t testing.TB, got []journal.Record, last uint64, lost ...journal.Range) {
	t.Helper()
	i := 0
	for n := uint64(1); n <= last; n++ {
		gone := false
		for _, s := range lost {
			gone = gone || s.Contains(n)
		}
		if gone {
			continue
		}
		if i >= len(got) {
			t.Fatalf("%d records, number %d is missing", len(got), n)
		}
		want := entry(int(n))
		if got[i].Number != n || got[i].ID != want.ID || string(got[i].Data) != string(want.Data) || !got[i].Time.Equal(want.Time) {
			t.Fatalf("record %d is %+v", n, got[i])
		}
		i++
	}
	if i != len(got) {
		t.Fatalf("%d records more than expected, first %d", len(got)-i, got[i].Number)
	}
}
