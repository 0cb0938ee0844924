package filelog

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// A way to damage a file at an offset.
type injury struct {
	name  string
	most  uint64 // records that it may cost; 0: all behind it
	apply func(b []byte, at int) []byte
}

func injuries() []injury {
	return []injury{
		{"flip", 1, func(b []byte, at int) []byte { b[at] ^= 0x41; return b }},
		{"bit", 1, func(b []byte, at int) []byte { b[at] ^= 0x80; return b }},
		{"zero", 1, func(b []byte, at int) []byte { b[at] = 0; return b }},
		{"remove", 1, func(b []byte, at int) []byte { return slices.Delete(b, at, at+1) }},
		{"insert", 1, func(b []byte, at int) []byte { return slices.Insert(b, at, 7) }},
		{"cut", 0, func(b []byte, at int) []byte { return b[:at] }},
	}
}

// smallLog returns the files of a log of 3 segments with 20 records, the first of which are appended in groups.
func smallLog(t testing.TB) (files map[string][]byte, last uint64) {
	t.Helper()
	r := newRig(t, minSegment)
	l := r.open()
	n := uint64(1)
	for _, group := range []int{1, 3, 5, 1, 1, 4, 2, 3} {
		add(t, l, n, entries(int(n), group))
		n += uint64(group)
	}
	closeLog(t, l)
	closeLog(t, r.open()) // writes the indexes
	return load(t, r.opts.Dir), n - 1
}

func load(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if e.Type().IsRegular() {
			if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

func store(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever happens to one byte of any file costs at most the record that it is in, which is named, once, and no number is given again.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	whole, last := smallLog(t)
	stride := 29 // TestEveryByteInMemory leaves out none
	if os.Getenv("RELAY_TEST_LONG") != "" {
		stride = 1
	}
	dir := filepath.Join(t.TempDir(), "log")
	i := 0
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		for _, in := range injuries() {
			for at := i % stride; at < len(whole[name]); at += stride {
				i++
				damaged := in.apply(slices.Clone(whole[name]), at)
				if bytes.Equal(damaged, whole[name]) {
					continue
				}
				files := maps.Clone(whole)
				files[name] = damaged
				store(t, dir, files)
				most := in.most
				if filepath.Ext(name) != segment.Suffix {
					most = 0
				}
				checkDamaged(t, dir, fmt.Sprintf("%s of %s at %d", in.name, name, at), last, most, filepath.Ext(name) == segment.Suffix)
				if t.Failed() {
					return
				}
			}
		}
	}
}

// checkDamaged reads a log with a damage, by a reader, and by the writer twice.
func checkDamaged(t *testing.T, dir, what string, last, most uint64, segment bool) {
	t.Helper()
	reader, err := OpenReader(t.Context(), Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	seen := all(t, reader, 4)
	closeLog(t, reader)
	var findings []Finding
	sum, err := Verify(t.Context(), dir, func(f Finding) { findings = append(findings, f) })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	r := &rig{t: t, opts: Options{Dir: dir, SegmentSize: minSegment, Log: zerolog.Nop()}}
	r.opts.Damaged = func(d Damage) { r.damages = append(r.damages, d) }
	l := r.open()
	got := all(t, l, 3)
	gaps, err := l.Gaps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := uint64(0)
	for _, s := range gaps {
		lost += s.Last - s.First + 1
	}
	if sum.Lost != lost || sum.Records != last-lost || sum.Findings != len(findings) || lost > 0 && sum.Findings == 0 {
		t.Fatalf("%s: lost %v, verified %+v: %+v", what, gaps, sum, findings)
	}
	if most > 0 && lost > most || !segment && lost > 0 {
		t.Fatalf("%s: lost %v", what, gaps)
	}
	check(t, got, last, gaps...)
	check(t, seen, last, gaps...)
	reported := uint64(0)
	for _, d := range r.reported() {
		if d.Numbers.First > 0 {
			reported += d.Numbers.Last - d.Numbers.First + 1
		}
	}
	if reported != lost {
		t.Fatalf("%s: %d of %d lost records are reported", what, reported, lost)
	}
	add(t, l, last+1, entries(int(last+1), 1))
	closeLog(t, l)
	l = r.open()
	check(t, all(t, l, 100), last+1, gaps...)
	if err := l.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	for _, d := range r.reported() {
		if d.Numbers.First > 0 {
			t.Fatalf("%s: reported again: %+v", what, d)
		}
	}
}

// A missing segment is a gap; that of the newest one is known by the position.
func TestMissingSegment(t *testing.T) {
	t.Parallel()
	whole, last := smallLog(t)
	dir := filepath.Join(t.TempDir(), "log")
	for name := range whole {
		files := maps.Clone(whole)
		delete(files, name)
		store(t, dir, files)
		checkDamaged(t, dir, "removal of "+name, last, 0, filepath.Ext(name) == segment.Suffix)
	}
	for name := range files0(whole) {
		files := maps.Clone(whole)
		delete(files, name)
		store(t, dir, files)
		l, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if gaps, err := l.Gaps(t.Context()); err != nil || len(gaps) != 1 {
			t.Fatal(name, gaps, err)
		}
		closeLog(t, l)
	}
}

// files0 returns the segments of files.
func files0(files map[string][]byte) map[string][]byte {
	files = maps.Clone(files)
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return filepath.Ext(name) != segment.Suffix })
	return files
}

// What an interrupted append has left, in any form, is cut and costs nothing that was acknowledged.
func TestTornTail(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 3))
	add(t, l, 4, entries(4, 2))
	closeLog(t, l)
	before := load(t, r.opts.Dir)
	l = r.open()
	add(t, l, 6, entries(6, 4))
	closeLog(t, l)
	after := load(t, r.opts.Dir)
	name := segment.Name(1)
	acknowledged, whole := before[name], after[name]
	for at := len(acknowledged); at <= len(whole); at++ {
		holed := slices.Clone(whole)
		clear(holed[len(acknowledged):at]) // the first pages were not written
		for _, torn := range [][]byte{whole[:at], append(slices.Clone(whole[:at]), make([]byte, 300)...), holed} {
			files := maps.Clone(before)
			files[name] = torn
			store(t, r.opts.Dir, files)
			l := r.open()
			got := all(t, l, 100)
			if len(got) < 5 || len(got) > 9 {
				t.Fatalf("%d records", len(got))
			}
			check(t, got, uint64(len(got)))
			add(t, l, uint64(len(got)+1), entries(len(got)+1, 1))
			check(t, all(t, l, 100), uint64(len(got)+1))
			closeLog(t, l)
			if d := r.reported(); len(d) > 0 {
				t.Fatalf("torn at %d: %+v", at, d)
			}
		}
	}
}

// An append that a crash interrupted after it was stored is not stored again.
func TestInterruptedAppendAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 3))
	closeLog(t, l)
	old := load(t, r.opts.Dir)[positionName]
	l = r.open()
	add(t, l, 4, entries(4, 3))
	closeLog(t, l)
	if err := os.WriteFile(filepath.Join(r.opts.Dir, positionName), old, 0o600); err != nil {
		t.Fatal(err)
	}
	l = r.open()
	add(t, l, 4, entries(4, 4))
	check(t, all(t, l, 100), 7)
	closeLog(t, l)
}
