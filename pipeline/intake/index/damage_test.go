package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

func TestDamagedFiles(t *testing.T) {
	r := newRig(t, 100)
	prints := r.many("a", 0, 450)
	r.settle()
	var said bytes.Buffer
	r.cfg.Logger = zerolog.New(&said).Level(zerolog.InfoLevel)
	check := func(what string, wantSaid bool) {
		t.Helper()
		for i := range prints {
			if hits := r.find("a", &prints[i]); len(hits) != 1 || hits[0].Number != uint64(i+1) {
				t.Fatalf("%s: treat %d: %+v; %+v %v; said %s", what, i, hits, r.ix.cover, len(r.ix.runs), said.String())
			}
		}
		if n, all := r.ix.Count(), r.all("a"); n != 450 || len(all) != 450 {
			t.Errorf("%s: %d treats in the index, %d found", what, n, len(all))
		}
		if lines := strings.Count(said.String(), "\n"); lines > 1 || wantSaid && lines == 0 {
			t.Errorf("%s: said: %s", what, said.String())
		}
		said.Reset()
	}
	n := len(r.files())
	for i := range n {
		r.closeIndex()
		name := r.files()[i]
		stat, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{0, 9, stat.Size() / 3, stat.Size() / 2, stat.Size() - 30, stat.Size() - 9, stat.Size() - 1} {
			if at < 0 || at >= stat.Size() {
				continue
			}
			name := r.files()[min(i, len(r.files())-1)]
			now, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			flip(t, name, int(min(at, now.Size()-1)))
			r.openIndex()
			check(fmt.Sprint(filepath.Base(name), " flipped at ", at, " of ", now.Size()), false) // a run is not read before it is asked for, and has unused bytes
			r.settle()
			r.closeIndex()
		}
		name = r.files()[min(i, len(r.files())-1)]
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		r.openIndex()
		check(filepath.Base(name)+" removed", false)
		r.settle()
	}
	r.closeIndex()
	if err := os.RemoveAll(filepath.Join(r.dir, "index")); err != nil {
		t.Fatal(err)
	}
	r.openIndex()
	check("all removed", true)

	// While it is open.
	r.settle()
	if len(r.ix.runs) == 0 {
		t.Fatal("there is no run")
	}
	before := r.ix.runs[0]
	flip(t, before.path, 100)
	check("flipped while open", true)
	r.settle()
	if slices.Contains(r.ix.runs, before) {
		t.Fatal("the damaged run is in use")
	}
	// A walk says that it is to be made again.
	r.settle()
	flip(t, r.ix.runs[0].path, 100)
	if err := r.ix.Range(t.Context(), "a", epoch, epoch.Add(time.Hour), func(*Hit) bool { return true }); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v", err)
	}
	check("flipped before a walk", true)
}

// What an older relay wrote is made again, not misread.
func TestFilesOfAnOlderRelay(t *testing.T) {
	r := newRig(t, 100)
	prints := r.many("a", 0, 250)
	r.settle()
	prints = append(prints, r.many("a", 250, 20)...)
	r.closeIndex()
	changed := 0
	for _, name := range r.files() {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		older := bytes.Replace(bytes.Replace(data, []byte(runMagic), []byte("relayix2"), 1), []byte(tailMagic), []byte("relayix1"), 1)
		if !bytes.Equal(older, data) {
			changed++
		}
		if err := os.WriteFile(name, older, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if changed < 2 {
		t.Fatalf("%d files of %v have a version", changed, r.files())
	}
	r.openIndex()
	for i := range prints {
		if hits := r.find("a", &prints[i]); len(hits) != 1 || hits[0].Fingerprint != prints[i] {
			t.Fatalf("treat %d: %+v, want %+v", i, hits, prints[i])
		}
	}
	if len(r.all("a")) != len(prints) {
		t.Errorf("%d treats", len(r.all("a")))
	}
}

func TestLostEntries(t *testing.T) {
	r := newRig(t, 100)
	r.many("a", 0, 130)
	r.settle()
	old := filepath.Join(r.dir, "old")
	if err := os.CopyFS(old, os.DirFS(filepath.Join(r.dir, "log"))); err != nil {
		t.Fatal(err)
	}
	prints := r.many("a", 130, 150)
	other := r.many("b", 300, 2)
	r.settle()
	r.close()
	if err := os.RemoveAll(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	r.openLog()
	_, next := r.log.Bounds()
	r.openIndex()
	if next != 131 || r.ix.Through() != 282 {
		t.Fatalf("next number %d, index through %d", next, r.ix.Through())
	}
	losses, err := r.ix.Lost(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	want := []Loss{
		{"a", 150, epoch.Add(130 * time.Second), epoch.Add(279 * time.Second)},
		{"b", 2, epoch.Add(300 * time.Second), epoch.Add(301 * time.Second)},
	}
	if diff := cmp.Diff(want, losses); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	// Their numbers are given to nobody else.
	d := dish("a", "more", 1000)
	if numbers := r.append(true, entryOf(&d, 0, epoch)); numbers[0] != 283 {
		t.Errorf("the next entry has number %d", numbers[0])
	}
	for restart := range 2 {
		for i := range prints {
			if hits := r.find("a", &prints[i]); len(hits) != 1 || !hits[0].Lost || hits[0].Number != uint64(131+i) {
				t.Fatalf("treat %d: %+v", i, hits)
			}
		}
		if hits := r.find("b", &other[0]); len(hits) != 1 || !hits[0].Lost {
			t.Errorf("of b: %+v", hits)
		}
		f := fingerprint.Of(&d)
		if hits := r.find("a", &f); len(hits) != 1 || hits[0].Lost {
			t.Errorf("what came after: %+v", hits)
		}
		if restart == 0 {
			r.close()
			r.open()
		}
	}
}

func TestIndexOfAnotherLog(t *testing.T) {
	r := newRig(t, 100)
	prints := r.many("a", 0, 150)
	r.close()
	other := newRig(t, 100)
	others := other.many("b", 1000, 300)
	other.close()
	if err := os.RemoveAll(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(r.dir, "log"), os.DirFS(filepath.Join(other.dir, "log"))); err != nil {
		t.Fatal(err)
	}
	r.open()
	if n := r.ix.Count(); n != 300 || r.ix.Through() != 300 || r.ix.Account("a").Seen {
		t.Errorf("%d treats through number %d", n, r.ix.Through())
	}
	if hits := r.find("a", &prints[0]); len(hits) != 0 {
		t.Errorf("of the other log: %+v", hits)
	}
	if hits := r.find("b", &others[299]); len(hits) != 1 {
		t.Errorf("of this log: %+v", hits)
	}
}

func TestRetention(t *testing.T) {
	r := newRig(t, 100)
	r.cfg.Retention = time.Hour
	r.close()
	var err error
	if r.log, err = filelog.Open(t.Context(), filelog.Options{Dir: filepath.Join(r.dir, "log"), SegmentSize: 4 << 10, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	r.openIndex()
	prints := r.many("a", 0, 1000)
	for i := range 1000 { // an append for a segment, each of some
		if i%100 == 99 {
			r.many("a", 1000+i, 1)
		}
	}
	r.settle()
	if err := r.log.DropBefore(t.Context(), epoch.Add(600*time.Second)); err != nil {
		t.Fatal(err)
	}
	first, _ := r.log.Bounds()
	if first <= 101 {
		t.Skipf("the log holds numbers from %d on", first)
	}
	if err := r.ix.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hits := r.find("a", &prints[0]); len(hits) != 0 {
		t.Errorf("what was dropped: %+v", hits)
	}
	if hits := r.find("a", &prints[999]); len(hits) != 1 || hits[0].Lost {
		t.Errorf("what was not dropped: %+v", hits)
	}
	for _, one := range r.ix.runs {
		if one.info.maxNumber < first {
			t.Errorf("a run of the numbers to %d is kept; the log holds those from %d on", one.info.maxNumber, first)
		}
	}
}

func TestFilesCannotBeWritten(t *testing.T) {
	r := newRig(t, 100)
	dir := filepath.Join(r.dir, "index")
	r.many("a", 0, 90)
	away := filepath.Join(r.dir, "away")
	if err := os.Rename(dir, away); err != nil {
		t.Skip("an open file cannot be moved here:", err)
	}
	prints := r.many("a", 90, 200)
	r.settle()
	if r.ix.full == nil {
		t.Error("a run was made of nothing")
	}
	check := func() {
		t.Helper()
		for i := range prints {
			if hits := r.find("a", &prints[i]); len(hits) != 1 {
				t.Fatalf("treat %d: %+v", i, hits)
			}
		}
	}
	check()
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
	check()
	if n := r.ix.Count(); n != 290 {
		t.Errorf("%d treats, want 290", n)
	}
}
