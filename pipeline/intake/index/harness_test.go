package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a log with its index.
type rig struct {
	t   testing.TB
	dir string
	cfg Config
	log *filelog.Log
	ix  *Index
}

func newRig(t testing.TB, limit int) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), cfg: Config{Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel), limit: limit}}
	r.open()
	t.Cleanup(r.close)
	return r
}

// open opens the log, and the index as the daemon does.
func (r *rig) open() {
	r.t.Helper()
	r.openLog()
	r.openIndex()
}

func (r *rig) openLog() {
	r.t.Helper()
	var err error
	if r.log, err = filelog.Open(r.t.Context(), filelog.Options{Dir: filepath.Join(r.dir, "log"), Log: zerolog.Nop()}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) openIndex() {
	r.t.Helper()
	cfg := r.cfg
	cfg.Dir, cfg.Log = filepath.Join(r.dir, "index"), r.log
	var err error
	if r.ix, err = Open(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
	if _, next := r.log.Bounds(); r.ix.Through() >= next {
		if err := r.log.Reserve(r.t.Context(), r.ix.Through()); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) close() {
	r.closeIndex()
	if r.log != nil {
		if err := r.log.Close(); err != nil {
			r.t.Error(err)
		}
		r.log = nil
	}
}

func (r *rig) closeIndex() {
	if r.ix != nil {
		if err := r.ix.Close(); err != nil {
			r.t.Error(err)
		}
		r.ix = nil
	}
}

// append writes entries to the log, and has the index note them if that is so.
func (r *rig) append(note bool, entries ...journal.Entry) []uint64 {
	r.t.Helper()
	numbers, err := r.log.Append(r.t.Context(), entries)
	if err != nil {
		r.t.Fatal(err)
	}
	if note {
		records := make([]journal.Record, len(entries))
		for i := range entries {
			records[i] = journal.Record{Number: numbers[i], Entry: entries[i]}
		}
		r.ix.Committed(records)
	}
	return numbers
}

// files are the names of the index's files.
func (r *rig) files() []string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "index", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// flip changes a byte of a file.
func flip(t testing.TB, name string, at int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 0x10
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

var epoch = time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)

// dish is the data of a treat so many seconds after epoch.
func dish(account, title string, second int) pipeline.Data {
	sender, date := "s", epoch.Add(time.Duration(second)*time.Second).Format(time.DateTime)
	return pipeline.Data{Account: account, Provider: "treatstream", Sender: &sender, Title: &title, DateCreated: &date}
}

// entryOf is the entry of a treat of that ordinal.
func entryOf(d *pipeline.Data, ordinal uint64, at time.Time) journal.Entry {
	f := fingerprint.Of(d)
	e := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: pipeline.NewID(f.When.In(time.UTC), pipeline.NewKey(d), ordinal), Source: "/treatstream/" + d.Account,
		Type: pipeline.EventType, Time: f.When.In(time.UTC), RecordedTime: at, DataContentType: pipeline.DataContentType, Origin: pipeline.OriginLive, Data: *d,
	}
	line, err := e.Line()
	if err != nil {
		panic(err)
	}
	return journal.Entry{
		Kind: journal.Treat, ID: e.ID, Time: at, Account: d.Account, Provider: d.Provider, Origin: e.Origin, Repeat: ordinal + 1, Data: line,
	}
}

// many appends n treats of one account, one a second.
func (r *rig) many(account string, from, n int) (prints []fingerprint.Fingerprint) {
	r.t.Helper()
	var entries []journal.Entry
	for i := from; i < from+n; i++ {
		d := dish(account, fmt.Sprint("t", i), i)
		prints = append(prints, fingerprint.Of(&d))
		entries = append(entries, entryOf(&d, 0, epoch.Add(time.Duration(i)*time.Second)))
		if len(entries) == 500 || i == from+n-1 {
			r.append(true, entries...)
			entries = entries[:0]
		}
	}
	return prints
}

func (r *rig) find(account string, f *fingerprint.Fingerprint) []Hit {
	r.t.Helper()
	hits, err := r.ix.Find(r.t.Context(), nil, account, f)
	if err != nil {
		r.t.Fatal(err)
	}
	return hits
}

// all is what the index has of an account.
func (r *rig) all(account string) (hits []Hit) {
	r.t.Helper()
	err := ErrDamaged
	for errors.Is(err, ErrDamaged) {
		hits = nil
		err = r.ix.Range(r.t.Context(), account, time.Unix(0, 0), time.Unix(1<<32, 0), func(h *Hit) bool {
			hits = append(hits, *h)
			return true
		})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return hits
}

func shuffled(n int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(n) }
