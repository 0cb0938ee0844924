package journaltest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

func (s logSuite) reserve(t *testing.T) {
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	w.add(t, l, 10, 100)
	last := w.numbers[9]
	if err := l.Reserve(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if got := gaps(t, l); len(got) != 0 {
		t.Errorf("gaps although every number was assigned: %v", got)
	}
	changed := l.Changed()
	if err := l.Reserve(t.Context(), last+7); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Error("no change reported, although the next number has changed")
	}
	lost := journal.Range{First: last + 1, Last: last + 7}
	for range 2 {
		for _, less := range []uint64{0, 1, last, last + 7} {
			if err := l.Reserve(t.Context(), less); err != nil {
				t.Error(err)
			}
		}
		if got := gaps(t, l); !slices.Equal(got, []journal.Range{lost}) {
			t.Errorf("gaps %v, want %v", got, lost)
		}
		if _, next := l.Bounds(); next <= lost.Last {
			t.Errorf("the next number is %d after %d was reserved", next, lost.Last)
		}
		w.check(t, l)
		closeLog(t, l)
		l = s.open(t, location)
	}
	defer func() { closeLog(t, l) }()
	w.add(t, l, 5, 100)
	if w.numbers[10] <= lost.Last {
		t.Errorf("number %d was reserved and then assigned", w.numbers[10])
	}
	w.check(t, l)
}

// backInTime restores an older copy of the log, as a backup does.
func (s logSuite) backInTime(t *testing.T) {
	if s.Snapshot == nil {
		t.Skip("the engine's store cannot be restored in this test")
	}
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	w.add(t, l, 50, 300)
	closeLog(t, l)
	restore := s.Snapshot(t, location)
	l = s.open(t, location)
	w.add(t, l, 20, 300)
	closeLog(t, l)
	restore()

	l = s.open(t, location)
	last := w.numbers[69]
	if err := l.Reserve(t.Context(), last); err != nil { // as a reader of the last record does
		t.Fatal(err)
	}
	lost := journal.Range{First: w.numbers[50], Last: last}
	for range 2 {
		if got := gaps(t, l); !slices.Equal(got, []journal.Range{lost}) {
			t.Errorf("gaps %v, want %v", got, lost)
		}
		w.check(t, l, lost)
		w.add(t, l, 10, 300)
		if first := w.numbers[len(w.numbers)-10]; first <= last {
			t.Fatalf("number %d was assigned twice", first)
		}
		w.check(t, l, lost)
		closeLog(t, l)
		l = s.open(t, location)
	}
	closeLog(t, l)
}

// endCutOff removes the end of the log. The engine may have recorded elsewhere that it existed.
func (s logSuite) endCutOff(t *testing.T) {
	if s.CutFrom == nil {
		t.Skip("the end of the engine's store cannot be cut off")
	}
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	for range 10 {
		w.add(t, l, 10, 300)
	}
	closeLog(t, l)
	const from = 87
	s.CutFrom(t, location, journal.Record{Number: w.numbers[from], Entry: w.entries[from]})
	lost := journal.Range{First: w.numbers[from], Last: w.numbers[99]}
	l = s.open(t, location)
	if err := l.Reserve(t.Context(), lost.Last); err != nil {
		t.Fatal(err)
	}
	if got := gaps(t, l); !slices.Equal(got, []journal.Range{lost}) {
		t.Errorf("gaps %v, want %v", got, lost)
	}
	w.add(t, l, 10, 300)
	w.check(t, l, lost)
	closeLog(t, l)
	l = s.open(t, location)
	w.check(t, l, lost)
	closeLog(t, l)
}

func (s logSuite) tornEnd(t *testing.T) {
	if s.Tear == nil {
		t.Skip("the engine's store cannot be torn")
	}
	location := s.NewLocation(t)
	var w written
	for range 3 {
		l := s.open(t, location)
		w.check(t, l)
		w.add(t, l, 30, 300)
		closeLog(t, l)
		s.Tear(t, location)
		l = s.open(t, location)
		if got := gaps(t, l); len(got) != 0 {
			t.Errorf("an append that was never acknowledged is reported as a gap: %v", got)
		}
		w.check(t, l)
		w.add(t, l, 3, 300)
		closeLog(t, l)
	}
}

// damagedRecord changes a byte in records at different positions of the log. Only those records may be lost.
func (s logSuite) damagedRecord(t *testing.T) {
	if s.Damage == nil {
		t.Skip("the engine's records cannot be damaged in this test")
	}
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	for range 200 {
		w.add(t, l, 10, 2000)
	}
	closeLog(t, l)
	var lost []journal.Range
	for _, i := range []int{0, 7, 700, 1001, 1003, 1993, 1999} {
		s.Damage(t, location, journal.Record{Number: w.numbers[i], Entry: w.entries[i]})
		lost = append(lost, journal.Range{First: w.numbers[i], Last: w.numbers[i]})
	}
	for range 2 {
		l = s.open(t, location)
		w.check(t, l, lost...)
		for i := range lost {
			if got := gaps(t, l); !contains(got, lost[i].First) {
				t.Errorf("%d is not among the gaps: %v", lost[i].First, got)
			}
		}
		for _, gap := range gaps(t, l) {
			for n := gap.First; n <= gap.Last; n++ {
				if !contains(lost, n) {
					t.Errorf("%d is among the gaps", n)
				}
			}
		}
		w.add(t, l, 10, 300)
		w.check(t, l, lost...)
		closeLog(t, l)
	}
}

func (s logSuite) missingPart(t *testing.T) {
	if s.RemovePart == nil {
		t.Skip("the engine's store has no parts")
	}
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	for range 300 {
		w.add(t, l, 10, 2000)
	}
	closeLog(t, l)
	lost := s.RemovePart(t, location)
	for range 2 {
		l = s.open(t, location)
		w.check(t, l, lost)
		for _, n := range []uint64{lost.First, lost.Last} {
			if got := gaps(t, l); !contains(got, n) {
				t.Errorf("%d is not among the gaps: %v", n, got)
			}
		}
		w.add(t, l, 10, 300)
		w.check(t, l, lost)
		closeLog(t, l)
	}
}

// largeBatch returns a batch that does not fit on a small disk.
func (s logSuite) largeBatch(from int) []journal.Entry {
	return entries(from, 40, min(s.Largest, 1<<20))
}

// fill appends until the disk is full. It returns the batch that did not fit.
func (s logSuite) fill(t *testing.T, l journal.Log, w *written, next func(from int) []journal.Entry) []journal.Entry {
	t.Helper()
	for range 5000 {
		batch := next(len(w.entries))
		numbers, err := l.Append(t.Context(), batch)
		if err != nil {
			if errors.Is(err, journal.ErrTooLarge) {
				t.Errorf("a full disk: %v", err)
			}
			t.Log("as expected: ", err)
			return batch
		}
		w.numbers, w.entries = append(w.numbers, numbers...), append(w.entries, batch...)
	}
	t.Fatal("the disk did not become full")
	return nil
}
