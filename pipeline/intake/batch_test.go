package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

func (r *rig) checkMarks(account string) (marks int) {
	r.t.Helper()
	held := make(map[uint64]int)
	records := r.records()
	for _, one := range records {
		if one.Kind != journal.Backfill || one.Account != account {
			continue
		}
		var m journal.BackfillBatch
		if err := json.Unmarshal(one.Data, &m); err != nil || m.Last >= one.Number || m.Account != account || m.Provider != "treatstream" {
			r.t.Fatalf("mark %+v at %d, %v", m, one.Number, err)
		}
		marks++
		for n := m.First; n <= m.Last; n++ {
			held[n]++
		}
	}
	for _, one := range records {
		if one.Kind == journal.Treat && one.Account == account && one.Origin == pipeline.OriginBackfill && held[one.Number] != 1 {
			r.t.Errorf("number %d is in %d marks", one.Number, held[one.Number])
		}
	}
	return marks
}

func TestMarkWithoutComparisons(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	in := r.intake("acc")
	sent := decode(t, dish("a", begin, 0))
	e, f := in.norm.normalize(&sent, time.Now())
	e.Origin = pipeline.OriginBackfill
	if _, err := in.queue(t.Context(), &queued{event: &e, print: &f}); err != nil {
		t.Fatal(err)
	}
	rec := r.reconciler(in, &provider{}, ReconcileConfig{})
	rec.Wake()
	r.eventually(func() error {
		if s := r.Index.Account("acc"); s.Batched != s.Backfilled || s.Batched == 0 {
			return errors.New("there is no mark")
		}
		return nil
	})
	if r.reconcile(rec); rec.batches.due {
		t.Error("it would look again")
	}
	if marks := r.checkMarks("acc"); marks != 1 {
		t.Errorf("%d marks, want 1", marks)
	}
}

func TestMarks(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	rec := r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	r.reconcile(rec)
	for round := range 5 {
		for i := range 3 {
			p.add(dish("t", begin, 3*round+i))
		}
		for range 2 {
			r.reconcile(rec)
		}
		if round%2 == 1 {
			r.stop()
			r = newRig(t, r.dir)
			rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
		}
	}
	if marks := r.checkMarks("acc"); marks != 5 {
		t.Errorf("%d marks of 5 healings", marks)
	}
	var marks []journal.Record
	for _, one := range r.records() {
		if one.Kind == journal.Backfill {
			marks = append(marks, one)
		}
	}
	r.stop()
	flipIn(t, r.dir, marks[2].Data)
	for range 2 {
		r = newRig(t, r.dir)
		rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
		if got := r.reconcile(rec); got.Healed != 0 {
			t.Errorf("%+v", got)
		}
		if marks := r.checkMarks("acc"); marks != 5 {
			t.Errorf("%d marks, want 5", marks)
		}
		all := r.records()
		last := all[slices.IndexFunc(all, func(one journal.Record) bool { return one.Ref != 0 })]
		if last.Kind != journal.Backfill || last.Ref != marks[2].Number || string(last.Data) != string(marks[2].Data) {
			t.Errorf("%+v", last)
		}
		r.stop()
	}
}

// The backlog counts in the order of the journal: what waits for room in that when a mark is written is before the mark.
func TestMarkKeepsOrder(t *testing.T) {
	for range 10 {
		r := &rig{t: t, dir: t.TempDir()}
		if err := r.open(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		in := r.intakeOf("acc", stacktest.Logger(t))
		full := journal.Entry{Kind: journal.Reject, Account: "other", Data: bytes.Repeat([]byte{'x'}, 7<<20)}
		if err := r.Journal.Enqueue(t.Context(), journal.Item{Entry: full}); err != nil { // nobody takes it yet
			t.Fatal(err)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() { r.live(in, payload(1)) })
		r.eventually(func() error { return in.queuedIs(1) })
		rec := NewReconciler(in, &provider{}, ReconcileConfig{})
		waiting.Go(func() {
			if err := rec.writeBatch(t.Context(), journal.Range{First: 1, Last: 1}, 0); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(20 * time.Millisecond) // it waits too, with or without the lock
		r.Run(t)
		waiting.Wait()
		if err := in.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		var kinds []journal.Kind
		for _, one := range r.records() {
			kinds = append(kinds, one.Kind)
		}
		if want := []journal.Kind{journal.Reject, journal.Treat, journal.Backfill}; !slices.Equal(kinds, want) {
			t.Fatalf("the journal holds %v, want %v", kinds, want)
		}
		r.Stop()
	}
}

func (in *Intake) queuedIs(n int64) error {
	in.backlog.mu.Lock()
	defer in.backlog.mu.Unlock()
	if in.backlog.queued != n {
		return fmt.Errorf("%d are queued", in.backlog.queued)
	}
	return nil
}
