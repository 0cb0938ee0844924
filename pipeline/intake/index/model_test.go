package index

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/journal"
)

// world is an index and what should be in it.
type world struct {
	t      *rapid.T
	r      *rig
	noted  map[uint64]pipeline.Data // by number
	next   map[string]uint64        // ordinals, by content
	lost   map[uint64]bool
	images int
	backup string
	// losing: the log may go back; else files of the index may be damaged.
	losing bool
}

// Whatever is noted late or never, killed, damaged, removed or lost: the index has what the log has, and knows what it has lost.
func TestIndexModel(t *testing.T) {
	folder, cases := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		cases++
		dir := filepath.Join(folder, fmt.Sprint(cases))
		defer func() { _ = os.RemoveAll(dir) }() // what is left goes with the folder
		r := &rig{t: t, dir: dir, cfg: Config{Logger: zerolog.Nop(), limit: rapid.SampledFrom([]int{3, 10, 1000}).Draw(rt, "limit")}}
		r.open()
		defer r.close()
		w := &world{
			t: rt, r: r, noted: make(map[uint64]pipeline.Data), next: make(map[string]uint64), lost: make(map[uint64]bool),
			losing: rapid.Bool().Draw(rt, "the log goes back"),
		}
		rt.Repeat(w.actions())
		w.check()
	})
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"note":      func(*rapid.T) { w.add(true) },
		"note more": func(*rapid.T) { w.add(true) },
		"foreign":   func(*rapid.T) { w.add(false) },
		"other": func(*rapid.T) {
			w.r.append(true, journal.Entry{Kind: journal.Dead, ID: fmt.Sprint("dead", len(w.noted), w.images), Account: "a", Time: epoch})
			w.images++
		},
		"restart": func(*rapid.T) {
			w.r.close()
			w.r.open()
		},
		"kill": func(*rapid.T) {
			w.kill(true)
			w.r.open()
		},
		"kill and damage": func(t *rapid.T) {
			if w.losing {
				t.Skip("it is the only one who knows")
			}
			w.kill(rapid.Bool().Draw(t, "in the middle"))
			for _, name := range w.r.files() {
				if rapid.Bool().Draw(t, "not this one") {
					continue
				}
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				switch at := rapid.IntRange(0, len(data)).Draw(t, "offset"); rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					err = os.Remove(name)
				case 1:
					err = os.WriteFile(name, data[:at], 0o600)
				default:
					if at < len(data) {
						data[at] ^= 1
						err = os.WriteFile(name, data, 0o600)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			w.r.open()
		},
		"back up": func(t *rapid.T) {
			if !w.losing {
				t.Skip("it would not be used")
			}
			w.backup = filepath.Join(w.r.dir, fmt.Sprint("backup", w.images))
			w.images++
			w.copy(filepath.Join(w.r.dir, "log"), w.backup)
		},
		"go back": func(t *rapid.T) {
			if w.backup == "" {
				t.Skip("there is no backup")
			}
			if err := w.r.ix.CatchUp(w.r.t.Context()); err != nil { // it knows all that was there
				t.Fatal(err)
			}
			w.kill(true)
			at := filepath.Join(w.r.dir, "log")
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
			w.copy(w.backup, at)
			w.r.openLog()
			_, next := w.r.log.Bounds()
			w.r.openIndex()
			for n := range w.noted {
				w.lost[n] = w.lost[n] || n >= next
			}
		},
		"check": func(*rapid.T) { w.check() },
		"":      func(*rapid.T) {},
	}
}

func (w *world) draw() pipeline.Data {
	return dish(rapid.SampledFrom([]string{"a", "b"}).Draw(w.t, "account"), rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "title"), rapid.IntRange(0, 3).Draw(w.t, "second"))
}

func contentOf(d *pipeline.Data) string { return d.Account + *d.Title + *d.DateCreated }

func (w *world) add(note bool) {
	var entries []journal.Entry
	var all []pipeline.Data
	for range rapid.IntRange(1, 5).Draw(w.t, "treats") {
		d := w.draw()
		entries = append(entries, entryOf(&d, w.next[contentOf(&d)], epoch))
		w.next[contentOf(&d)]++
		all = append(all, d)
	}
	for i, n := range w.r.append(note, entries...) {
		w.noted[n] = all[i]
	}
}

// kill ends the index, and puts what was on disk before in its place.
func (w *world) kill(before bool) {
	at, image := filepath.Join(w.r.dir, "index"), filepath.Join(w.r.dir, "image")
	if before {
		w.r.settle()
		w.copy(at, image)
	}
	w.r.close()
	if !before {
		return
	}
	if err := os.RemoveAll(at); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(image, at); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) copy(from, to string) {
	for range 100 {
		err := os.CopyFS(to, os.DirFS(from))
		if err == nil {
			return
		}
		if !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
		if err := os.RemoveAll(to); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("the folder does not hold still")
}

func (w *world) check() {
	if err := w.r.ix.CatchUp(w.r.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if n := w.r.ix.Count(); n != len(w.noted) {
		w.t.Errorf("%d treats counted, want %d", n, len(w.noted))
	}
	type seen struct {
		number uint64
		lost   bool
	}
	sorted := func(all []seen) []seen {
		slices.SortFunc(all, func(a, b seen) int { return order(a.number, b.number) })
		return all
	}
	for _, account := range []string{"a", "b"} {
		var want, got []seen
		newest := uint64(0)
		for n, d := range w.noted {
			if d.Account == account {
				want = append(want, seen{n, w.lost[n]})
				newest = max(newest, n)
			}
		}
		var last time.Time
		for _, h := range w.r.all(account) {
			got = append(got, seen{h.Number, h.Lost})
			if d := w.noted[h.Number]; h.Fingerprint != fingerprint.Of(&d) {
				w.t.Errorf("number %d is another treat", h.Number)
			}
			if at := h.When.In(time.UTC); at.Before(last) {
				w.t.Errorf("number %d is not in order", h.Number)
			} else {
				last = at
			}
		}
		if !slices.Equal(sorted(got), sorted(want)) {
			w.t.Errorf("of %s: %v, want %v", account, got, want)
		}
		if s := w.r.ix.Account(account); s.Newest.Number != newest {
			w.t.Errorf("newest of %s is %d, want %d", account, s.Newest.Number, newest)
		}
		for _, title := range []string{"x", "y"} {
			for second := range 4 {
				d := dish(account, title, second)
				f := fingerprint.Of(&d)
				var want, got []seen
				for n, one := range w.noted {
					if contentOf(&one) == contentOf(&d) {
						want = append(want, seen{n, w.lost[n]})
					}
				}
				for _, h := range w.r.find(account, &f) {
					got = append(got, seen{h.Number, h.Lost})
				}
				if !slices.Equal(sorted(got), sorted(want)) {
					w.t.Errorf("of %s, %s in second %d: %v, want %v", account, title, second, got, want)
				}
			}
		}
	}
}

func FuzzTail(f *testing.F) {
	good := &batch{
		cover: []journal.Range{{First: 1, Last: 2}}, names: []string{"a"}, records: []record{{number: 1, repeat: 1}, {number: 2, flags: kindBatch}},
	}
	file := &tailFile{path: filepath.Join(f.TempDir(), "t"), names: make(map[uint64]bool)}
	for range 2 {
		if err := file.write(good); err != nil {
			f.Fatal(err)
		}
	}
	if err := file.close(); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(file.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte(tailMagic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "t")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() (batches int, err error) {
			file := &tailFile{path: name, names: make(map[uint64]bool)}
			err = file.read(func(*batch) { batches++ })
			if closeErr := file.close(); closeErr != nil {
				t.Error(closeErr)
			}
			return batches, err
		}
		before, _ := read()
		after, err := read() // what was damaged is cut off
		if before != after || err != nil && before > 0 {
			t.Errorf("%d batches, then %d, %v", before, after, err)
		}
	})
}

func FuzzRun(f *testing.F) {
	name := filepath.Join(f.TempDir(), "r")
	records := []record{{account: accountHash("a"), number: 1, repeat: 1}, {account: accountHash("a"), number: 2, repeat: 2, second: 9}}
	if err := writeRun(name, records, &runInfo{cover: []journal.Range{{First: 1, Last: 2}}, accounts: []account{{name: "a"}}}); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add(text[blockSize:])
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "r")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openRun(name)
		if err != nil {
			return
		}
		defer r.release()
		_ = r.find(accountHash("a"), 9, 0, func(*record) {})
		for n := range r.fences {
			_, _ = r.block(n, nil)
		}
	})
}
