package filelog

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Retention unlinks segments; a reader in another process, and one that is under way, cope.
func TestRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2<<10)
	l := r.open()
	defer closeLog(t, l)
	for i := range 100 {
		add(t, l, uint64(3*i+1), entries(3*i+1, 3))
	}
	reader, err := OpenReader(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, reader)
	if err := l.Reserve(t.Context(), 305); err != nil {
		t.Fatal(err)
	}
	add(t, l, 306, entries(306, 1))
	size := l.Size()
	if err := l.DropBefore(t.Context(), epoch.Add(150*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, log := range []*Log{l, reader} {
		first, next := log.Bounds()
		if first < 100 || first > 150 || next != 307 {
			t.Fatal(first, next)
		}
		records := all(t, log, 7)
		if records[0].Number != first || len(records) != int(307-first)-5 {
			t.Fatal(first, len(records), records[0].Number)
		}
	}
	if l.Size() >= size {
		t.Error("it has not become smaller")
	}
	if err := l.DropBefore(t.Context(), epoch.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if first, next := l.Bounds(); first != next || next != 307 {
		t.Fatal(first, next)
	}
	if gaps, _ := l.Gaps(t.Context()); len(gaps) > 0 {
		t.Error("gaps before the oldest record: ", gaps)
	}
	if left, _ := filepath.Glob(filepath.Join(r.opts.Dir, "0*")); len(left) > 1 {
		t.Error(left)
	}
	add(t, l, 307, entries(307, 1))
	if records := all(t, l, 7); len(records) != 1 || records[0].Number != 307 {
		t.Fatal(records)
	}
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}

// A backup that is made while the log is written holds what was durable when it began, and is a log.
func TestBackup(t *testing.T) {
	t.Parallel()
	r := newRig(t, 16<<10)
	l := r.open()
	defer closeLog(t, l)
	add(t, l, 1, entries(1, 500))
	if err := l.Reserve(t.Context(), 510); err != nil {
		t.Fatal(err)
	}
	add(t, l, 511, entries(511, 1))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for n := 512; ctx.Err() == nil; n += 10 {
			if _, err := l.Append(ctx, entries(n, 10)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	reader, err := OpenReader(t.Context(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, reader)
	for _, log := range []*Log{l, reader, l, reader} {
		dest := filepath.Join(t.TempDir(), "new", "backup")
		_, before := log.Bounds()
		if err := Backup(t.Context(), log, dest); err != nil {
			t.Fatal(err)
		}
		_, after := log.Bounds()
		if err := Backup(t.Context(), log, dest); !errors.Is(err, errNotEmpty) {
			t.Fatal(err)
		}
		sum, err := Verify(t.Context(), dest, func(f Finding) {
			if !f.Known {
				t.Errorf("%+v", f)
			}
		})
		if err != nil || sum.Numbers.Last < before-1 || sum.Numbers.Last >= after || sum.Lost != 10 {
			t.Fatalf("%+v, %v, from %d to %d", sum, err, before, after)
		}
		copied, err := Open(t.Context(), Options{Dir: dest, Damaged: func(d Damage) { t.Errorf("%+v", d) }})
		if err != nil {
			t.Fatal(err)
		}
		check(t, all(t, copied, 100), sum.Numbers.Last, journal.Range{First: 501, Last: 510})
		closeLog(t, copied)
		if _, err := Verify(t.Context(), r.opts.Dir, func(f Finding) {
			if !f.Known {
				t.Errorf("while it is written: %+v", f)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	running.Wait()
}
