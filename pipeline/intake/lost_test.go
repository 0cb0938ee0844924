package intake

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/treat"
	"github.com/treatrelay/relay/pipeline/journal"
)

// treats are the entries of an account's events, by id, of which each has to be there once.
func (r *rig) treats(account string) map[string]journal.Record {
	r.t.Helper()
	all := make(map[string]journal.Record)
	for _, one := range r.records() {
		if one.Kind != journal.Treat || one.Account != account {
			continue
		}
		if _, again := all[one.ID]; again {
			r.t.Errorf("event %s is journaled twice", one.ID)
		}
		all[one.ID] = one
	}
	return all
}

// putBack stops the rig, puts an older image of a part of its data in the place of what is there, and opens it.
func (r *rig) putBack(from string, parts ...string) *rig {
	r.t.Helper()
	r.stop()
	for _, part := range parts {
		at := filepath.Join(r.dir, part)
		if err := os.RemoveAll(at); err != nil {
			r.t.Fatal(err)
		}
		if from != "" {
			if err := os.Rename(filepath.Join(from, part), at); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return newRig(r.t, r.dir)
}

// image copies a part of the data of a rig at rest.
func (r *rig) image(parts ...string) string {
	r.t.Helper()
	dir := r.t.(*testing.T).TempDir()
	for _, part := range parts {
		for {
			err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(r.dir, part)))
			if err == nil {
				break
			}
			if !errors.Is(err, os.ErrNotExist) { // what the log renames beside its segments
				r.t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return dir
}

// wantHealed compares what is in the journal now with what was before some of it was lost: the same ids, with the number that each had.
func (r *rig) wantHealed(account string, before map[string]journal.Record, kept, healed int) {
	r.t.Helper()
	after := r.treats(account)
	if len(after) != len(before) {
		r.t.Errorf("%d events, want %d", len(after), len(before))
	}
	for id, was := range before {
		is, ok := after[id]
		switch {
		case !ok:
			r.t.Errorf("event %s, number %d, is not there any more", id, was.Number)
		case is.Number == was.Number:
			kept--
		default:
			healed--
			if is.Ref != was.Number || is.Origin != pipeline.OriginBackfill || is.Repeat != was.Repeat {
				r.t.Errorf("event %s, number %d, has number %d, in place of %d, repeat %d, origin %s", id, was.Number, is.Number, is.Ref, is.Repeat, is.Origin)
			}
		}
	}
	if kept != 0 || healed != 0 {
		r.t.Errorf("%d more were kept and %d more healed than there are", -kept, -healed)
	}
}

// A log that goes back to an older state is healed, once, with the ids that the events had, and with their numbers.
func TestLostEndIsHealed(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	take := func(payload json.RawMessage) {
		p.add(payload)
		r.live(in, payload)
	}
	take(dish("a", begin, 1))
	take(dish("b", begin, 2)) // of which there are two more that are lost
	p.add(dish("missed", begin, 3))
	r.reconcile(rec)
	old := r.image("journal", "state")
	for range 2 {
		take(dish("b", begin, 2))
		take(dish("c", begin, 4))
	}
	take(dish("d", begin, 5))
	p.add(dish("missed too", begin, 6))
	r.reconcile(rec)
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.treats("acc")
	for round := range 2 {
		if round == 0 {
			r = r.putBack(old, "journal", "state")
		} else {
			r.stop()
			r = newRig(t, r.dir)
		}
		rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
		if got := r.reconcile(rec); got.FirstRun || got.Healed != []int{6, 0}[round] {
			t.Errorf("round %d: %+v", round, got)
		}
		if got := r.reconcile(rec); got.Healed != 0 {
			t.Errorf("once more: %+v", got)
		}
		r.wantHealed("acc", before, 3, 6)
		r.checkMarks("acc")
		for _, is := range r.treats("acc") {
			was, mark := pipeline.OriginLive, uint64(0)
			if before[is.ID].Origin == pipeline.OriginBackfill { // whose mark was lost too
				was, mark = pipeline.OriginBackfill, before[is.ID].Number+1
			}
			if is.Ref != 0 && (is.Was != was || is.Batch != mark) {
				t.Errorf("event %s was %s, mark %d; want %s, %d", is.ID, is.Was, is.Batch, was, mark)
			}
		}
	}
}

// One damaged record is healed likewise, whatever else there is of the same content.
func TestDamagedRecordIsHealed(t *testing.T) {
	for name, removed := range map[string]bool{"with the index": false, "without it": true} {
		t.Run(name, func(t *testing.T) {
			r, begin := newRig(t, t.TempDir()), evening()
			p := &provider{}
			in := r.intake("acc")
			rec := r.reconciler(in, p, ReconcileConfig{})
			r.reconcile(rec)
			for n := range 20 {
				title := []string{"same", "other"}[n%2]
				p.add(dish(title, begin, 0))
				r.live(in, dish(title, begin, 0))
			}
			if err := in.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := r.treats("acc")
			var damaged journal.Record
			for _, one := range before {
				if one.Repeat == 4 && strings.Contains(string(one.Data), "same") {
					damaged = one
				}
			}
			r.stop()
			flipIn(t, r.dir, damaged.Data)
			if removed {
				if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
					t.Fatal(err)
				}
			}
			r = newRig(t, r.dir)
			rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
			if got := r.reconcile(rec); got.Healed != 1 {
				t.Errorf("%+v", got)
			}
			if got := r.reconcile(rec); got.Healed != 0 {
				t.Errorf("once more: %+v", got)
			}
			if !removed {
				r.wantHealed("acc", before, 19, 1)
			} else if n := len(r.treats("acc")); n != 20 { // nobody knows which one it was
				t.Errorf("%d events, want 20", n)
			}
		})
	}
}

// The history may write a lost treat in another form. Its event then has another id, and is still known to take the place of the lost one.
func TestLostTreatInAnotherForm(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	old := r.image("journal", "state")
	r.live(in, json.RawMessage(`{"sender":"s","title":"Tea","receiver":"me","date_created":"`+begin.UTC().Format(time.DateTime)+`"}`))
	r.count("relay_events_journaled_total", 1)
	number := r.Index.Account("acc").Newest.Number
	p.add(dish("Tea", begin, 0))
	r = r.putBack(old, "journal", "state")
	rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	for round := range 2 {
		if got := r.reconcile(rec); got.Healed != 1-round {
			t.Errorf("%+v", got)
		}
	}
	for _, one := range r.treats("acc") {
		if one.Ref != number {
			t.Errorf("it takes the place of number %d, not %d", one.Ref, number)
		}
	}
}

// A treat that the log has lost and that comes again, live, takes the place of the lost one.
func TestLostTreatComesLive(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	in := r.intake("acc")
	old := r.image("journal", "state")
	r.live(in, dish("a", begin, 0))
	r.count("relay_events_journaled_total", 1)
	before := r.treats("acc")
	r = r.putBack(old, "journal", "state")
	in = r.intakeOf("acc", stacktest.Logger(t)) // as after more than 10 minutes
	r.live(in, dish("a", begin, 0))
	r.count("relay_events_journaled_total", 1)
	for id, one := range r.treats("acc") {
		if was, ok := before[id]; !ok || one.Ref != was.Number || one.Origin != pipeline.OriginLive {
			t.Errorf("%+v", one)
		}
	}
}

// A log and a state that come back empty, as those of a server that lost its disk, are no first run: the index knows better.
func TestEmptyJournalIsNoFirstRun(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	p.add(dish("known", begin, 0), dish("known", begin, 0))
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 2 {
		t.Errorf("%+v", got)
	}
	for n := range 10 {
		p.add(dish("live", begin, n))
		r.live(in, dish("live", begin, n))
	}
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.treats("acc")
	p.add(dish("missed", begin, 20))
	r = r.putBack("", "journal", "state")
	lost, err := r.Index.Lost(t.Context(), 1)
	if err != nil || len(lost) != 1 || lost[0].Events != 10 || lost[0].Account != "acc" {
		t.Errorf("lost: %+v, %v", lost, err)
	}
	rec = r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	if got := r.reconcile(rec); got.FirstRun || got.Healed != 11 {
		t.Errorf("%+v", got)
	}
	after := r.treats("acc")
	if len(after) != 11 {
		t.Errorf("%d events, want 11", len(after))
	}
	for id, was := range before {
		if is, ok := after[id]; !ok || is.Ref != was.Number {
			t.Errorf("event %s is now %+v", id, is)
		}
	}
}

// Without a baseline, what the log has lost is healed all the same, and the rest is known.
func TestFirstRunHealsWhatIsLost(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	in := r.intake("acc")
	r.live(in, dish("live", begin, 1))
	r.live(in, dish("live", begin, 1))
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.treats("acc")
	r = r.putBack("", "journal", "state")
	p := &provider{}
	p.add(dish("older", begin, 0), dish("live", begin, 1), dish("live", begin, 1), dish("live", begin, 1))
	rec := r.reconciler(r.intake("acc"), p, ReconcileConfig{})
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 2 || got.Healed != 2 {
		t.Errorf("%+v", got)
	}
	r.wantHealed("acc", before, 0, 2)
}

// What an earlier process left is summed up although nothing is compared any more, and what is summed up is not searched for again.
// Each healing has one mark, over restarts, and one that the log loses is written again, in the place of the lost one.
// The comparison reads no more of the journal than what it compares, and the files of the index may be damaged while it does.
func TestCompareWithADamagedIndex(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	p := &provider{}
	in := r.intake("acc")
	rec := r.reconciler(in, p, ReconcileConfig{})
	r.reconcile(rec)
	const n = 70_000 // more than a run has
	d := pipeline.Data{}
	var entries []journal.Entry
	for i := range n {
		title, date := "t", begin.Add(time.Duration(i%1000)*time.Second-time.Hour).UTC().Format(time.DateTime)
		sender := string(rune('a' + i/1000))
		d = pipeline.Data{Account: "acc", Provider: "treatstream", Sender: &sender, Title: &title, DateCreated: &date}
		sent := treat.New(sender, title, "", date)
		e, _ := in.norm.normalize(&sent, begin)
		e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&d), 0)
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, journal.Entry{Kind: journal.Treat, ID: e.ID, Account: "acc", Provider: "treatstream", Origin: "live", Repeat: 1, Data: line})
		if len(entries) == 1000 {
			if _, err := r.Journal.Put(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
			entries = entries[:0]
		}
	}
	var runs []string
	r.eventually(func() (err error) {
		if runs, err = filepath.Glob(filepath.Join(r.dir, "index", "*.run")); err == nil && len(runs) == 0 {
			err = errors.New("there is no run")
		}
		return err
	})
	data, err := os.ReadFile(runs[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 100; at < 800*4096; at += 4096 { // each block
		data[at] ^= 1
	}
	if err := os.WriteFile(runs[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	p.add(dish("new", begin, 0))
	if got := r.reconcile(rec); got.Healed != 1 {
		t.Errorf("%+v", got)
	}
	if got := r.Index.Count(); got != n+1 {
		t.Errorf("%d treats in the index, want %d", got, n+1)
	}
	f := fingerprint.Of(&d)
	if hits, err := r.Index.Find(t.Context(), nil, "acc", &f); err != nil || len(hits) != 1 {
		t.Errorf("%+v, %v", hits, err)
	}
}
