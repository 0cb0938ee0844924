package filelog

import (
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A gap is as young as what follows it: retention keeps it although nothing before it is left.
func TestRetentionKeepsYoungGaps(t *testing.T) {
	for _, before := range []int{0, 10} { // what was journaled before the gap, and is old
		l := newRig(t, minSegment).open()
		if before > 0 {
			add(t, l, 1, entries(0, before))
		}
		gap := journal.Span{First: uint64(before + 1), Last: uint64(before + 20)}
		if err := l.Reserve(t.Context(), gap.Last); err != nil {
			t.Fatal(err)
		}
		add(t, l, gap.Last+1, entries(1000, 1))
		if err := l.DropBefore(t.Context(), epoch.Add(500*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := gapsOf(t, l); !slices.Equal(got, []journal.Span{gap}) {
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

func gapsOf(t *testing.T, l *Log) []journal.Span {
	t.Helper()
	got, err := l.Gaps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}
