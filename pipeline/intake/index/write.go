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

// flushRetry is how long after a run could not be written it is tried again.
const flushRetry = 10 * time.Second

// A flush makes a run of a table.
type flush struct {
	done  chan struct{}
	began time.Time
}

// Committed notes what was just written to the log. It is the callback of [journal.Config], and waits for a write to a file at most.
func (ix *Index) Committed(records []journal.Record) {
	b := &batch{written: true}
	p := &ix.pending
	p.mu.Lock()
	for i := range records {
		r := &records[i]
		b.note(r)
		b.records = recordsOf(b.records, r, p.of(r))
	}
	p.mu.Unlock()
	ix.append(b)
	// Only what can be found is no longer pending: in between, an event that comes a second time would be in neither.
	ix.commits.Add(1)
	p.mu.Lock()
	for i := range records {
		p.done(&records[i])
	}
	p.mu.Unlock()
}

// note adds an entry's number and account to the batch.
func (b *batch) note(r *journal.Record) {
	b.cover = addSpan(b.cover, journal.Span{First: r.Number, Last: r.Number})
	if r.Account != "" && (len(b.names) == 0 || b.names[len(b.names)-1] != r.Account) && !slices.Contains(b.names, r.Account) {
		b.names = append(b.names, r.Account)
	}
}

// append adds a batch to the active table and its file, without the numbers that the index has by then.
func (ix *Index) append(b *batch) {
	ix.writing.Lock()
	defer ix.writing.Unlock()
	ix.mu.Lock()
	t := ix.active
	if b.instead != nil {
		ix.runs = slices.DeleteFunc(ix.runs, func(r *run) bool { return r == b.instead })
		ix.sumCover()
	}
	b.records = slices.DeleteFunc(b.records, func(r record) bool {
		return holds(ix.cover, r.number) && (!b.written || ix.inTables(&r))
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
		t.cover, ix.cover = addSpan(t.cover, s), addSpan(ix.cover, s)
	}
	ix.mu.Unlock()

	b.names = slices.DeleteFunc(b.names, func(name string) bool { return t.log.names[accountHash(name)] })
	ix.report(t.log.write(b))
	if len(t.records) >= ix.cfg.limit {
		ix.startFlush()
	}
}

// inTables reports whether a record is in a table. The caller holds mu.
func (ix *Index) inTables(r *record) (found bool) {
	for _, t := range [...]*table{ix.active, ix.full} {
		if t != nil {
			t.find(r.account, r.second, r.content, func(have *record) { found = found || *have == *r })
		}
	}
	return found
}

// named returns what is known of an account. The caller holds mu.
func (ix *Index) named(name string) *account {
	hash := accountHash(name)
	a := ix.accounts[hash]
	if a == nil {
		a = &account{name: strings.Clone(name)}
		ix.accounts[hash] = a
	}
	return a
}

// report logs trouble with the files, when it changes. The caller holds writing.
func (ix *Index) report(err error) {
	switch {
	case err == nil && ix.files.trouble != "":
		ix.files.trouble = ""
		ix.cfg.Logger.Info().Msg("index of the journal is written again")
	case err != nil && err.Error() != ix.files.trouble:
		ix.files.trouble = err.Error()
		ix.cfg.Logger.Warn().Err(err).Msg("index of the journal is in memory only: what it lacks on disk is read from the journal at the next start")
	}
}

// startFlush has the active table made a run, unless one is being made. The caller holds writing.
func (ix *Index) startFlush() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if f := ix.flush; f != nil {
		select {
		case <-f.done:
		default:
			return
		}
		if ix.full != nil && time.Since(f.began) < flushRetry { // it has failed
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

// newTail is the file of the next table. The caller holds writing.
func (ix *Index) newTail() *tailFile {
	ix.files.seq++
	return &tailFile{path: ix.path(ix.files.seq, tailExt), seq: ix.files.seq, names: make(map[uint64]bool)}
}

func (ix *Index) path(seq uint64, ext string) string {
	return filepath.Join(ix.cfg.Dir, fmt.Sprintf("%016x%s", seq, ext))
}

// seqOf is the number of a file of the index.
func seqOf(name string) (seq uint64, ext string) {
	base, ext, _ := strings.Cut(name, ".")
	seq, err := strconv.ParseUint(base, 16, 64)
	if err != nil {
		return 0, ""
	}
	return seq, "." + ext
}

// makeRun makes a run of a table that does not change any more, and puts it in its place.
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
	_ = t.log.close() // it has no use any more
	ix.removeTails(t.log.seq)
}

// removeTails removes the files of tables up to that one.
func (ix *Index) removeTails(through uint64) {
	files, err := os.ReadDir(ix.cfg.Dir)
	if err != nil {
		return // the next one, or the next start, does it
	}
	for _, f := range files {
		if seq, ext := seqOf(f.Name()); ext == tailExt && seq > 0 && seq <= through {
			_ = os.Remove(filepath.Join(ix.cfg.Dir, f.Name())) // likewise
		}
	}
}

// summarize returns what is newest of each account in a table.
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
