package intake

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestBackfillOfAFirstRun(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	r.live(in, dish("live", begin, 9))
	p.add(dish("a", begin, 1), dish("b", begin, 2), dish("live", begin, 9))
	rec := r.reconciler(in, p, ReconcileConfig{BackfillFirstRun: true})
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "live", "a+", "b+")
}

func TestJournalIsKeptForLess(t *testing.T) {
	r := newRig(t, t.TempDir()) // an hour
	now := time.Now().Truncate(time.Second)
	p := &provider{}
	rec := r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	r.reconcile(rec)
	p.add(dish("dropped", now, -7200), dish("missed", now, -600))
	if got := r.reconcile(rec); got.Healed != 1 || got.Older != 1 {
		t.Errorf("%+v", got)
	}
	r.stop()
	r = newRigKept(t, r.dir, 840*time.Hour)
	rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	p.add(dish("missed too", now, -60))
	for range 2 {
		if got := r.reconcile(rec); got.Older != 1 {
			t.Errorf("kept for longer: %+v", got)
		}
	}
	r.want("acc", "missed+", "missed too+")
}

func TestBaselineIsWholeOrNone(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	p.add(dish("a", begin, 0), dish("b", begin, 1))
	in := r.intake("acc")
	known := func(title string, second int) index.KnownTreat {
		sent := decode(t, dish(title, begin, second))
		_, f := in.norm.normalize(&sent, begin)
		return index.KnownTreat{Fingerprint: f, Count: 1}
	}
	half := []index.KnownTreat{known("a", 0), known("b", 1)}
	if _, err := r.Journal.Put(t.Context(), index.KnownEntry("acc", "treatstream", "abc", 0, half)); err != nil { // without what is written last
		t.Fatal(err)
	}
	p.add(dish("c", begin, 2))
	rec := r.reconciler(in, p, ReconcileConfig{})
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 3 {
		t.Errorf("after half a first run: %+v", got)
	}
	p.add(dish("d", begin, 3))
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 1 {
		t.Errorf("after the second: %+v", got)
	}

	var part journal.Record
	for _, one := range r.records() {
		if one.Kind == journal.Known && one.Baseline != "abc" && part.Number == 0 {
			part = one
		}
	}
	r.stop()
	flipIn(t, r.dir, part.Data)
	for _, index := range []bool{true, false} { // with it nothing is lost
		if !index {
			if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
				t.Fatal(err)
			}
		}
		r = newRig(t, r.dir)
		if _, err := r.Journal.Get(t.Context(), part.Number); !errors.Is(err, journal.ErrNotHeld) {
			t.Fatalf("the entry is there: %v", err)
		}
		rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
		got := r.reconcile(rec)
		if index && (got.FirstRun || got.Healed != 0) {
			t.Errorf("with a part of the baseline lost from the log only: %+v", got)
		}
		if !index && (!got.FirstRun || got.Healed != 0 || got.Known != 3) {
			t.Errorf("with a part of the baseline lost: %+v", got)
		}
		if index {
			r.stop()
		}
	}
	p.add(dish("e", begin, 4))
	r.reconcile(rec)
	r.want("acc", "d+", "e+")
}

func TestBaselineIsRestored(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	p.add(dish("a", begin, 0), dish("a", begin, 0), dish("b", begin, 1))
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	r.live(in, dish("b", begin, 1)) // in the baseline, and live all the same
	p.add(dish("c", begin, 2))
	for i, lose := range []func() error{
		func() error { return r.Journal.State().Delete(t.Context(), journal.HistoryKey("acc")) },
		func() error {
			_, err := r.Journal.State().Put(t.Context(), journal.HistoryKey("acc"), []byte("{"), journal.AnyRevision)
			return err
		},
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		if got := r.reconcile(rec); got.FirstRun || got.Healed != 1 {
			t.Errorf("loss %d: %+v", i, got)
		}
		p.add(dish("d", begin, 3))
	}
	r.want("acc", "b", "c+", "d+")
}

func TestLargeBaseline(t *testing.T) {
	const n = 2*knownBatch + 5
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	for i := range n {
		p.add(dish(fmt.Sprint(i), begin, i%60))
	}
	p.add(dish("0", begin, 0)) // twice the same
	rec := r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	if got := r.reconcile(rec); got.Known != n+1 {
		t.Errorf("%+v", got)
	}
	p.add(dish("0", begin, 0), dish("new", begin, 61))
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "0+", "new+")
}

func TestOnlyReceivedTreatsCount(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	sent := decode(t, dish("a", begin, 0))
	e, _ := in.norm.normalize(&sent, time.Now())
	e.Origin, e.ID = pipeline.OriginTest, "tst_1"
	if err := r.Journal.PutTest(t.Context(), &e, ""); err != nil {
		t.Fatal(err)
	}
	r.want("acc", "a")
	p.add(dish("a", begin, 0))
	if got := r.reconcile(rec); got.Healed != 1 {
		t.Errorf("%+v", got)
	}
	r.want("acc", "a", "a+")
}
