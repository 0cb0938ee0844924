package index

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/journal"
)

// settle waits for the run that is being made.
func (r *rig) settle() {
	r.ix.writing.Lock()
	f := r.ix.flush
	r.ix.writing.Unlock()
	if f != nil {
		<-f.done
	}
}

func TestFindInRunsAndTail(t *testing.T) {
	r := newRig(t, 100)
	prints := r.many("a", 0, 2350)
	other := r.many("b", 0, 120)
	r.settle()
	for restart := range 2 {
		if n := len(r.ix.runs); n < 2 {
			t.Fatalf("%d runs", n)
		}
		if n, through := r.ix.Count(), r.ix.Through(); n != 2470 || through != 2470 {
			t.Errorf("%d treats through number %d", n, through)
		}
		for _, i := range shuffled(len(prints)) {
			hits := r.find("a", &prints[i])
			if len(hits) != 1 || hits[0].Number != uint64(i+1) || hits[0].Repeat != 1 || hits[0].Lost || hits[0].Fingerprint != prints[i] ||
				!hits[0].Journaled.Equal(epoch.Add(time.Duration(i)*time.Second)) {
				t.Fatalf("treat %d: %+v", i, hits)
			}
		}
		for i := range other {
			if hits := r.find("b", &other[i]); len(hits) != 1 || hits[0].Number != uint64(2351+i) {
				t.Fatalf("treat %d of b: %+v", i, hits)
			}
		}
		for i := range prints {
			if hits := r.find("c", &prints[i]); len(hits) != 0 {
				t.Fatalf("treat %d of nobody: %+v", i, hits)
			}
			f := prints[i]
			if f.When.Digits += 100_000; len(r.find("a", &f)) != 0 {
				t.Fatalf("treat %d of another second is there", i)
			}
		}
		if restart == 0 {
			r.close()
			r.open()
		}
	}
}

// Equal treats are told apart by their ordinals, however many there are, and wherever they are.
func TestManyEqualTreats(t *testing.T) {
	r := newRig(t, 100)
	d := dish("a", "t", 0)
	f := fingerprint.Of(&d)
	for i := range 450 {
		r.append(true, entryOf(&d, uint64(i), epoch))
		if i%50 == 0 {
			r.many("b", i, 3)
		}
	}
	repeats := map[uint64]bool{}
	for _, h := range r.find("a", &f) {
		repeats[h.Repeat] = true
	}
	if len(repeats) != 450 {
		t.Errorf("%d of 450 found", len(repeats))
	}
}

func TestRangeIsInOrder(t *testing.T) {
	r := newRig(t, 64)
	for _, i := range shuffled(600) {
		r.many("a", i, 1)
		if i%7 == 0 {
			r.many("b", i, 1)
		}
	}
	var got []int64
	from, to := epoch.Add(100*time.Second), epoch.Add(399*time.Second)
	err := r.ix.Range(t.Context(), "a", from, to, func(h *Hit) bool {
		got = append(got, h.When.Digits-epoch.Unix())
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 300 || got[0] != 100 || got[299] != 399 || !slices.IsSorted(got) {
		t.Errorf("%d treats: %v", len(got), got)
	}
	n := 0
	if err := r.ix.Range(t.Context(), "a", from, to, func(*Hit) bool { n++; return n < 10 }); err != nil || n != 10 {
		t.Errorf("visited %d, error %v", n, err)
	}
	if err := r.ix.Range(t.Context(), "nobody", from, to, func(*Hit) bool { t.Error("nobody has treats"); return true }); err != nil {
		t.Error(err)
	}
}

// What others write is read from the log when it is asked for, and at the start.
func TestIndexLags(t *testing.T) {
	r := newRig(t, 100)
	r.many("a", 0, 10)
	foreign := dish("b", "foreign", 0)
	f := fingerprint.Of(&foreign)
	r.append(false, entryOf(&foreign, 0, epoch))
	r.many("a", 10, 10)
	if hits := r.find("b", &f); len(hits) != 0 {
		t.Errorf("found before: %+v", hits)
	}
	if err := r.ix.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hits := r.find("b", &f); len(hits) != 1 || hits[0].Number != 11 {
		t.Errorf("found after: %+v", hits)
	}
	r.append(false, entryOf(&foreign, 1, epoch))
	r.append(false, entryOf(&foreign, 2, epoch))
	r.close()
	r.open()
	if hits := r.find("b", &f); len(hits) != 3 {
		t.Errorf("found after a restart: %+v", hits)
	}
	if n := r.ix.Count(); n != 23 {
		t.Errorf("%d treats, want 23", n)
	}
}

// What a kill leaves in memory is in the tail.
func TestKill(t *testing.T) {
	r := newRig(t, 100)
	r.many("a", 0, 250)
	r.settle()
	r.many("a", 250, 30)
	if err := os.CopyFS(filepath.Join(r.dir, "copy"), os.DirFS(filepath.Join(r.dir, "index"))); err != nil {
		t.Fatal(err)
	}
	r.closeIndex()
	if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, "copy"), filepath.Join(r.dir, "index")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	r.cfg.Logger = zerolog.New(&said)
	r.openIndex()
	if n := r.ix.Count(); n != 280 || said.Len() > 0 {
		t.Errorf("%d treats, want 280; said: %s", n, said.String())
	}
}

// Any file can be damaged or go, at a restart or while the index is in use: it is made again, and that is said in one line.
// A record of the index whose entry the log has lost is reported as lost, as long as the index is there.
// An index that lies beside another log than its own is made again.
func TestSummary(t *testing.T) {
	r := newRig(t, 50)
	if s := r.ix.Account("a"); s.Seen || s.BaselineID != "" || s.Batched != 0 {
		t.Errorf("of an empty index: %+v", s)
	}
	id := NewBaselineID(0xabc)
	treats := []KnownTreat{
		{fingerprint.Fingerprint{Content: 7, Core: fingerprint.Core{Sender: 70, Title: 3, Message: 7}, When: fingerprint.Date{Digits: epoch.Unix(), Floating: true}}, 3},
		{fingerprint.Fingerprint{Content: 8, Core: fingerprint.Core{Sender: 80, Title: 3, Message: 8}, When: fingerprint.Date{Digits: epoch.Unix()}}, 1},
	}
	stamp := func(e journal.Entry) journal.Entry {
		e.Time = epoch
		return e
	}
	r.append(true, stamp(KnownEntry("a", "treatstream", id, 0, treats)))
	if s := r.ix.Account("a"); s.BaselineID != "" {
		t.Errorf("half a baseline: %+v", s)
	}
	r.append(true, stamp(BaselineEntry("a", "treatstream", id, 2)))
	r.many("a", 0, 120)
	d := dish("a", "missed", 5)
	healed := entryOf(&d, 0, epoch)
	healed.Origin = pipeline.OriginBackfill
	n := r.append(true, healed)[0]
	inBaseline := entryOf(&d, 1, epoch)
	inBaseline.Baseline = id
	r.append(true, inBaseline)
	data, err := pipeline.EncodeJSON(journal.BackfillBatch{Account: "a", Range: journal.Range{First: n, Last: n}})
	if err != nil {
		t.Fatal(err)
	}
	r.append(true, stamp(journal.Entry{Kind: journal.Backfill, ID: "h", Account: "a", Data: data}), stamp(journal.Entry{Kind: journal.Reject, ID: "r", Account: "a"}))
	for restart := range 3 {
		s := r.ix.Account("a")
		if !s.Seen || s.Newest.Number != n+1 || s.Backfilled != n || s.Batched != n || s.BaselineID != id || s.BaselineSize != 2 || !s.BaselineMade.Equal(epoch) {
			t.Errorf("%+v", s)
		}
		if known, err := r.ix.CountKnown(t.Context(), "a", id); err != nil || known != 2 {
			t.Errorf("%d known treats, %v", known, err)
		}
		if through := r.ix.Through(); through != n+3 {
			t.Errorf("through %d, want %d", through, n+3)
		}
		var backfilled []uint64
		visit := func(h *Hit) bool { backfilled = append(backfilled, h.Number); return true }
		if err := r.ix.Backfilled(t.Context(), "a", 0, epoch, visit); err != nil {
			t.Fatal(err)
		}
		if err := r.ix.Backfilled(t.Context(), "a", n, epoch, visit); err != nil {
			t.Fatal(err)
		}
		if err := r.ix.Backfilled(t.Context(), "a", 0, epoch.Add(time.Second), visit); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(backfilled, []uint64{n}) {
			t.Errorf("backfilled %v", backfilled)
		}
		known, tagged := uint64(0), 0
		for _, h := range r.all("a") {
			if h.Known {
				known += h.Count
			}
			if h.Baseline == BaselineTag(id) {
				tagged++
			}
		}
		if known != 4 || tagged != 3 {
			t.Errorf("%d known treats, %d of the baseline", known, tagged)
		}
		r.close()
		if restart == 1 {
			if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
				t.Fatal(err)
			}
		}
		r.open()
	}
}

// A disk that is full for a while costs nothing but memory. A folder that is not there cannot be written either.
func TestExpected(t *testing.T) {
	r := newRig(t, 100)
	d := dish("a", "t", 0)
	f, e := fingerprint.Of(&d), entryOf(&d, 0, epoch)
	if !r.ix.Expect(e.ID, &f) || r.ix.Expect(e.ID, &f) {
		t.Error("an event is expected once")
	}
	r.ix.Forget(e.ID)
	if !r.ix.Expect(e.ID, &f) {
		t.Error("an event is forgotten")
	}
	r.append(true, e)
	cut := e
	cut.Kind, cut.ID = journal.Reject, "cut_x"
	if !r.ix.Expect("x", &f) {
		t.Error("another one")
	}
	r.append(true, cut)
	if n := len(r.ix.pending.treats); n != 0 {
		t.Errorf("%d events are still expected", n)
	}
	if hits := r.find("a", &f); len(hits) != 1 {
		t.Errorf("%+v", hits)
	}
}
