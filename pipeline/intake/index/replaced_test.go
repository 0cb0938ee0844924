package index

import (
	"os"
	"testing"
)

// A damaged run was replaced, and relay was killed before its file was removed: it is not used beside what replaces it.
func TestReplacedRunIsLeft(t *testing.T) {
	for _, later := range []int{0, 250} { // treats that come until then
		r := newRig(t, 100)
		prints := r.many("a", 0, 250)
		r.settle()
		run := r.ix.runs[0]
		flip(t, run.path, blockSize+100) // in its last block
		damaged, err := os.ReadFile(run.path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range prints {
			r.find("a", &prints[i])
		}
		r.settle()
		prints = append(prints, r.many("a", 250, later)...)
		r.settle()
		r.closeIndex()
		if _, err := os.Stat(run.path); !os.IsNotExist(err) {
			t.Fatalf("the damaged run is there: %v", err)
		}
		if err := os.WriteFile(run.path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r.openIndex()
		for i := range prints {
			if hits := r.find("a", &prints[i]); len(hits) != 1 {
				t.Fatalf("treat %d of %d is there %d times", i, len(prints), len(hits))
			}
		}
		if n := r.ix.Count(); n != len(prints) {
			t.Errorf("%d treats in the index", n)
		}
		r.close()
	}
}
