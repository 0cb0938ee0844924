//go:build unix

package journaltest

import (
	"testing"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// filesThatCannotGrow simulates a full disk without a disk of its own: every write fails.
func (s logSuite) filesThatCannotGrow(t *testing.T) {
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	if !disktest.InChild(t) {
		return
	}
	at := s.NewLocation(t)
	l := s.open(t, at)
	var w written
	for range 3 {
		w.add(t, l, 50, 1000)
		free := disktest.Fill(t, 1)
		batch := s.fill(t, l, &w, func(from int) []journal.Entry { return entries(from, 30, 2000) })
		w.check(t, l)
		free()
		w.entries, w.numbers = append(w.entries, batch...), append(w.numbers, appendAll(t, l, batch)...)
		w.check(t, l)
		if got := gaps(t, l); len(got) != 0 {
			t.Errorf("gaps although nothing is lost: %v", got)
		}
	}
	closeLog(t, l)
	l = s.open(t, at)
	w.check(t, l)
	closeLog(t, l)
}

func (s stateSuite) filesThatCannotGrow(t *testing.T) {
	if !s.InFolder {
		t.Skip("the engine's store is not in a folder")
	}
	if !disktest.InChild(t) {
		return
	}
	s.full(t, s.NewLocation(t), func() (free func()) { return disktest.Fill(t, 1) })
}
