package intake

import (
	"encoding/json"
	"testing"

	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A first run that was cut off when a part of what is known was journaled is made again: it knows the rest too.
func TestKnownAfterHalfAFirstRun(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	l := newcomer(begin.Add(100e9))
	l.add(dish("a", begin, 0), dish("b", begin, 1), dish("c", begin, 2))
	in := r.intake("acc")
	rec := r.reconciler(in, l, ReconcileConfig{Logins: l})
	if err := rec.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	value, _, err := r.Journal.State().Get(t.Context(), journal.HistoryKey("acc"))
	if err != nil {
		t.Fatal(err)
	}
	var base baseline
	if err := json.Unmarshal(value, &base); err != nil || !base.pending() {
		t.Fatalf("%+v, %v", base, err)
	}
	var known []index.KnownTreat
	for _, one := range []json.RawMessage{dish("a", begin, 0), dish("b", begin, 1)} {
		sent := decode(t, one)
		_, f := in.norm.normalize(&sent, begin)
		known = append(known, index.KnownTreat{Fingerprint: f, Count: 1})
	}
	part := index.KnownEntry("acc", "treatstream", base.ID, 0, known)
	if _, err := r.Journal.Put(t.Context(), part); err != nil { // and then the process is killed
		t.Fatal(err)
	}
	if got := r.reconcile(rec); !got.FirstRun || got.Known != 1 {
		t.Errorf("the first run again: %+v", got)
	}
	for range 2 {
		if got := r.reconcile(rec); got.FirstRun || got.Healed != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	}
	r.want("acc")
}
