package journaltest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

type logSuite struct{ LogEngine }

// epoch is the time of the first entry of a test. Each further entry is a second later.
func epoch() time.Time { return time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC) }

// entry returns the i-th entry of a test, with size bytes of data.
func entry(i, size int) journal.Entry {
	e := journal.Entry{
		Kind: journal.Treat, ID: fmt.Sprintf("trt_%08d", i), Time: epoch().Add(time.Duration(i) * time.Second), Account: fmt.Sprint("account", i%3),
		Provider: "treatstream", Origin: pipeline.OriginLive, Repeat: uint64(i % 5), //nolint:gosec // not negative
	}
	text := fmt.Sprintf(`{"id":%q,"text":"héllo \n `, e.ID)
	e.Data = append([]byte(text), bytes.Repeat([]byte{byte('a' + i%26)}, max(0, size-len(text)))...)
	switch i % 7 {
	case 3:
		e.Kind, e.Sink, e.EventID, e.Ref = journal.Resend, "sink", "trt_other", 7
	case 5:
		e.Type, e.Baseline, e.Origin = "another.type", "baseline", pipeline.OriginBackfill
	}
	return e
}

func entries(from, n, size int) []journal.Entry {
	all := make([]journal.Entry, n)
	for i := range all {
		all[i] = entry(from+i, size)
	}
	return all
}

func (s logSuite) open(t *testing.T, location string) journal.Log {
	t.Helper()
	l, err := s.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l journal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// appendAll appends entries and checks that their numbers rise.
func appendAll(t *testing.T, l journal.Log, all []journal.Entry) []uint64 {
	t.Helper()
	_, next := l.Bounds()
	numbers, err := l.Append(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	checkNumbers(t, numbers, len(all), next)
	if _, after := l.Bounds(); len(all) > 0 && after <= numbers[len(numbers)-1] {
		t.Fatalf("the next number is %d after number %d", after, numbers[len(numbers)-1])
	}
	return numbers
}

func checkNumbers(t *testing.T, numbers []uint64, n int, atLeast uint64) {
	t.Helper()
	if len(numbers) != n {
		t.Fatalf("%d numbers for %d entries", len(numbers), n)
	}
	for i, number := range numbers {
		if number < atLeast {
			t.Fatalf("number %d of %v: want at least %d", i, numbers, atLeast)
		}
		atLeast = number + 1
	}
}

// readAll reads all records from a number on, at most limit at a time.
func readAll(t *testing.T, l journal.Log, from uint64, limit int) []journal.Record {
	t.Helper()
	var all []journal.Record
	for {
		part, err := l.Read(t.Context(), from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) > limit {
			t.Fatalf("%d records, more than the limit of %d", len(part), limit)
		}
		if len(part) == 0 {
			return all
		}
		for _, r := range part {
			if r.Number < from {
				t.Fatalf("number %d after %d", r.Number, from)
			}
			from = r.Number + 1
		}
		all = append(all, part...)
	}
}

// checkRecords checks that records are exactly these entries with these numbers.
func checkRecords(t *testing.T, got []journal.Record, numbers []uint64, want []journal.Entry) {
	t.Helper()
	for i, r := range got {
		if i >= len(want) {
			t.Fatalf("%d records, want %d; the first extra one is %d, %s", len(got), len(want), r.Number, r.ID)
		}
		if r.Number != numbers[i] || !sameEntry(r.Entry, want[i]) {
			t.Fatalf("record %d is %d %s, want %d %s\n%+v", i, r.Number, r.ID, numbers[i], want[i].ID, short(r.Entry))
		}
	}
	if len(got) < len(want) {
		t.Fatalf("%d records, want %d; the first missing one is %d, %s", len(got), len(want), numbers[len(got)], want[len(got)].ID)
	}
}

func short(e journal.Entry) journal.Entry {
	e.Data = e.Data[:min(len(e.Data), 100)]
	return e
}

func sameEntry(a, b journal.Entry) bool {
	same := a.Time.Equal(b.Time) && bytes.Equal(a.Data, b.Data)
	return same && a.Kind == b.Kind && a.ID == b.ID && a.Account == b.Account && a.Provider == b.Provider && a.Origin == b.Origin && a.Type == b.Type &&
		a.Sink == b.Sink && a.EventID == b.EventID && a.Repeat == b.Repeat && a.Baseline == b.Baseline && a.Ref == b.Ref
}

// written tracks what a test has appended so far.
type written struct {
	numbers []uint64
	entries []journal.Entry
}

// add appends n more entries.
func (w *written) add(t *testing.T, l journal.Log, n, size int) {
	t.Helper()
	all := entries(len(w.entries), n, size)
	w.numbers = append(w.numbers, appendAll(t, l, all)...)
	w.entries = append(w.entries, all...)
}

// check checks that the log holds everything that was appended, except for the lost numbers.
func (w *written) check(t *testing.T, l journal.Log, lost ...journal.Range) {
	t.Helper()
	var numbers []uint64
	var left []journal.Entry
	for i, n := range w.numbers {
		if !contains(lost, n) {
			numbers, left = append(numbers, n), append(left, w.entries[i])
		}
	}
	checkRecords(t, readAll(t, l, 1, 1000), numbers, left)
}

func contains(ranges []journal.Range, n uint64) bool {
	return slices.ContainsFunc(ranges, func(s journal.Range) bool { return s.Contains(n) })
}

// gaps returns the log's gaps, and checks that they are sorted and apart.
func gaps(t *testing.T, l journal.Log) []journal.Range {
	t.Helper()
	ranges, err := l.Gaps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, next := l.Bounds()
	last := uint64(0)
	for _, s := range ranges {
		if s.First <= last || s.Last < s.First || s.Last >= next {
			t.Fatalf("gaps %v, although the next number is %d", ranges, next)
		}
		last = s.Last
	}
	return ranges
}

func randomness(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := rand.Uint64() //nolint:gosec // only for a test
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1)), seed //nolint:gosec // as above
}
