package filelog

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// holdsAll opens the log again, and checks that it holds all entries up to one but for the lost ones, and that no damage was ever reported.
func (r *rig) holdsAll(last uint64, lost ...journal.Range) {
	r.t.Helper()
	l := r.open()
	check(r.t, all(r.t, l, 100), last, lost...)
	closeLog(r.t, l)
	if d := r.reported(); len(d) > 0 {
		r.t.Fatal(d)
	}
}

// The segment that is written to was removed, and another one begins before anybody has noticed: what it holds is put back.
func TestRemovedNewestBeforeTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 50))
	if err := os.Remove(filepath.Join(r.opts.Dir, segment.Name(1))); err != nil {
		t.Fatal(err)
	}
	if err := l.Reserve(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	add(t, l, 61, entries(61, 5))
	gap := journal.Range{First: 51, Last: 60}
	check(t, all(t, l, 100), 65, gap)
	closeLog(t, l)
	r.holdsAll(65, gap)
}

// The segment that is written to was removed, and is read before it is put back: nothing of it is lost.
func TestRemovedNewestIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 50))
	if err := os.Remove(filepath.Join(r.opts.Dir, segment.Name(1))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	some, err := l.Read(ctx, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	check(t, some, 50)
	if gaps, err := l.Gaps(t.Context()); err != nil || len(gaps) > 0 {
		t.Error(gaps, err)
	}
	closeLog(t, l)
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// The segment that is written to was replaced by another file: it is put back too.
func TestReplacedNewest(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 5))
	path := filepath.Join(r.opts.Dir, segment.Name(1))
	copied, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, l, 6, entries(6, 5))
	closeLog(t, l)
	r.holdsAll(10)
}

// After Close nothing is written: the folder may be another process's by then.
func TestAppendAfterClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	old := r.open()
	closeLog(t, old)
	l := r.open()
	add(t, l, 1, entries(1, 5))
	for range 3 {
		if _, err := old.Append(t.Context(), entries(100, 1)); err == nil {
			t.Error("it was appended")
		}
	}
	add(t, l, 6, entries(6, 5))
	closeLog(t, l)
	r.holdsAll(10)
}
