package index

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	tailExt = ".tail"
	runExt  = ".run"
)

// flushRetry is how long to wait after a failed flush.
const flushRetry = 10 * time.Second

// A flush turns a table into a run.
type flush struct {
	done  chan struct{}
	began time.Time
}

// Committed indexes records that were just written to the log. It is the callback for [journal.Config], and blocks only
// for a write to a file.
func (ix *Index) Committed(records []journal.Record) {
	b := &batch{written: true}
	p := &ix.pending
	p.mu.Lock()
	for i := range records {
		r := &records[i]
		b.addEntry(r)
		b.records = recordsOf(b.records, r, p.of(r))
	}
	p.mu.Unlock()
	ix.append(b)
	// An event stays pending until it can be found. Otherwise a second copy that arrives in between would slip through.
	ix.commits.Add(1)
	p.mu.Lock()
	for i := range records {
		p.done(&records[i])
	}
	p.mu.Unlock()
}

// addEntry adds an entry's number and account to the batch.
func (b *batch) addEntry(r *journal.Record) {
	b.cover = addRange(b.cover, journal.Range{First: r.Number, Last: r.Number})
	if r.Account != "" && (len(b.names) == 0 || b.names[len(b.names)-1] != r.Account) && !slices.Contains(b.names, r.Account) {
		b.names = append(b.names, r.Account)
	}
}

// append adds a batch to the active table and its file, except for numbers that the index already has.
func (ix *Index) append(b *batch) {
	ix.writing.Lock()
	defer ix.writing.Unlock()
	ix.mu.Lock()
	t := ix.active
	if b.instead != nil {
		ix.runs = slices.DeleteFunc(ix.runs, func(r *run) bool { return r == b.instead })
		ix.recomputeCover()
	}
	b.records = slices.DeleteFunc(b.records, func(r record) bool {
		return contains(ix.cover, r.number) && (!b.written || ix.inTables(&r))
	})
	for _, name := range b.names {
		ix.named(name)
	}
	for i := range b.records {
		r := &b.records[i]
		t.add(r)
		if a := ix.accounts[r.account]; a != nil {
			a.add(r)
		}
	}
	for _, s := range b.cover {
		t.cover, ix.cover = addRange(t.cover, s), addRange(ix.cover, s)
	}
	ix.mu.Unlock()

	b.names = slices.DeleteFunc(b.names, func(name string) bool { return t.log.names[accountHash(name)] })
	ix.report(t.log.write(b))
	if len(t.records) >= ix.cfg.limit {
		ix.startFlush()
	}
}

// inTables reports whether a table contains a record. ix.mu is held.
func (ix *Index) inTables(r *record) (found bool) {
	for _, t := range [...]*table{ix.active, ix.full} {
		if t != nil {
			t.find(r.account, r.second, r.content, func(have *record) { found = found || *have == *r })
		}
	}
	return found
}

// named returns the account of that name, which it creates if needed. ix.mu is held.
func (ix *Index) named(name string) *account {
	hash := accountHash(name)
	a := ix.accounts[hash]
	if a == nil {
		a = &account{name: strings.Clone(name)}
		ix.accounts[hash] = a
	}
	return a
}

// report logs a problem with the files when it changes. ix.writing is held.
func (ix *Index) report(err error) {
	switch {
	case err == nil && ix.files.logged != "":
		ix.files.logged = ""
		ix.cfg.Logger.Info().Msg("index of the journal is written again")
	case err != nil && err.Error() != ix.files.logged:
		ix.files.logged = err.Error()
		ix.cfg.Logger.Warn().Err(err).Msg("index of the journal is in memory only: the next start reads the missing part from the journal")
	}
}

// startFlush starts to turn the active table into a run, unless a flush is running. ix.writing is held.
func (ix *Index) startFlush() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if f := ix.flush; f != nil {
		select {
		case <-f.done:
		default:
			return
		}
		if ix.full != nil && time.Since(f.began) < flushRetry { // the last one failed
			return
		}
	}
	if ix.full == nil {
		ix.full, ix.active = ix.active, newTable(ix.newTail(), ix.cfg.limit/2)
	}
	f := &flush{done: make(chan struct{}), began: time.Now()}
	ix.flush = f
	go ix.makeRun(ix.full, f)
}

// newTail returns the file of the next table. ix.writing is held.
func (ix *Index) newTail() *tailFile {
	ix.files.seq++
	return &tailFile{path: ix.path(ix.files.seq, tailExt), seq: ix.files.seq, names: make(map[uint64]bool)}
}

func (ix *Index) path(seq uint64, ext string) string {
	return filepath.Join(ix.cfg.Dir, fmt.Sprintf("%016x%s", seq, ext))
}

// seqOf returns the number and extension of an index file.
func seqOf(name string) (seq uint64, ext string) {
	base, ext, _ := strings.Cut(name, ".")
	seq, err := strconv.ParseUint(base, 16, 64)
	if err != nil {
		return 0, ""
	}
	return seq, "." + ext
}

// makeRun writes a full table as a run, which then replaces the table.
func (ix *Index) makeRun(t *table, f *flush) {
	defer close(f.done)
	info := &runInfo{tail: t.log.seq, cover: t.cover, accounts: ix.summarize(t)}
	path := ix.path(t.log.seq, runExt)
	err := writeRun(path, slices.Clone(t.records), info)
	var r *run
	if err == nil {
		r, err = openRun(path)
	}
	if err != nil {
		ix.cfg.Logger.Warn().Err(err).Msg("index of the journal: a part of it stays in memory and in its tail; trying again")
		return
	}
	r.info.accounts = nil
	ix.mu.Lock()
	ix.runs = append(ix.runs, r)
	ix.full = nil
	ix.mu.Unlock()
	_ = t.log.close() // no longer needed
	ix.removeTails(t.log.seq)
}

// removeTails removes the files of tables up to a number.
func (ix *Index) removeTails(through uint64) {
	files, err := os.ReadDir(ix.cfg.Dir)
	if err != nil {
		return // the next call or start removes them
	}
	for _, f := range files {
		if seq, ext := seqOf(f.Name()); ext == tailExt && seq > 0 && seq <= through {
			_ = os.Remove(filepath.Join(ix.cfg.Dir, f.Name())) // the next call or start removes it
		}
	}
}

// summarize returns the summary of each account of a table.
func (ix *Index) summarize(t *table) (accounts []account) {
	at := make(map[uint64]int)
	for i := range t.records {
		r := &t.records[i]
		n, ok := at[r.account]
		if !ok {
			n = len(accounts)
			at[r.account] = n
			accounts = append(accounts, account{})
		}
		accounts[n].add(r)
	}
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	for hash, n := range at {
		if a := ix.accounts[hash]; a != nil {
			accounts[n].name = a.name
		}
	}
	return accounts
}
