package filelog

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// A gap is as young as what follows it: retention keeps it although nothing before it is left.
func TestRetentionKeepsYoungGaps(t *testing.T) {
	for _, before := range []int{0, 10} { // what was journaled before the gap, and is old
		l := newRig(t, minSegment).open()
		if before > 0 {
			add(t, l, 1, entries(0, before))
		}
		gap := journal.Range{First: uint64(before + 1), Last: uint64(before + 20)}
		if err := l.Reserve(t.Context(), gap.Last); err != nil {
			t.Fatal(err)
		}
		add(t, l, gap.Last+1, entries(1000, 1))
		if err := l.DropBefore(t.Context(), epoch.Add(500*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := gapsOf(t, l); !slices.Equal(got, []journal.Range{gap}) {
			t.Errorf("after %d records: gaps %v, want %v", before, got, gap)
		}
		if first, next := l.Bounds(); before > 0 && first != gap.Last+1 || next != gap.Last+2 {
			t.Errorf("bounds %d and %d", first, next)
		}
		if err := l.DropBefore(t.Context(), epoch.Add(2000*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := gapsOf(t, l); len(got) != 0 {
			t.Errorf("an old gap is kept: %v", got)
		}
		closeLog(t, l)
	}
}

func gapsOf(t *testing.T, l *Log) []journal.Range {
	t.Helper()
	got, err := l.Gaps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Numbers that could not be reserved, as on a full disk, are no gap: they are given to what is appended next.
func TestReserveFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 5))
	for _, name := range []string{segment.Name(10), gapsName + temporarySuffix} { // one is in the way of each step
		blocked := filepath.Join(r.opts.Dir, name)
		if err := os.MkdirAll(filepath.Join(blocked, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		err := l.Reserve(t.Context(), 9)
		if err := os.RemoveAll(blocked); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			break // the numbers are reserved, whatever became of the note of that
		}
		if gaps, err := l.Gaps(t.Context()); err != nil || len(gaps) > 0 {
			t.Fatal(gaps, err)
		}
	}
	next, lost := uint64(6), []journal.Range(nil)
	if _, n := l.Bounds(); n == 10 {
		next, lost = 10, []journal.Range{{First: 6, Last: 9}}
	}
	add(t, l, next, entries(int(next), 2))
	for range 2 {
		if gaps, err := l.Gaps(t.Context()); err != nil || !slices.Equal(gaps, lost) {
			t.Fatal(gaps, err)
		}
		check(t, all(t, l, 100), next+1, lost...)
		closeLog(t, l)
		l = r.open()
	}
	closeLog(t, l)
}
