package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Open opens the index of a folder and brings it up to date with the log. It rebuilds damaged or missing files from the
// log.
//
// If [Index.Through] is at least the log's next number afterwards, the log has lost its end. Then the caller must
// report [Index.Lost] and reserve that number ([journal.Log]) before anything is written.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	if cfg.limit == 0 {
		cfg.limit = runRecords
	}
	ix := &Index{cfg: cfg, pending: pending{treats: make(map[string]fingerprint.Fingerprint)}, accounts: make(map[uint64]*account)}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the journal's index: %w", err)
	}
	damaged, err := ix.load()
	if err == nil {
		var other bool
		if other, err = ix.otherLog(ctx); err == nil && other {
			ix.cfg.Logger.Warn().Msg("index belongs to another journal: rebuilding it from this one")
			err = ix.reset()
		}
	}
	if err == nil {
		err = ix.update(ctx, damaged)
	}
	if err != nil {
		return nil, errors.Join(err, ix.Close())
	}
	return ix, nil
}

// manyMissing is a number of entries that takes seconds to read.
const manyMissing = 200_000

// update indexes missing records, and logs that if there are unusually many.
func (ix *Index) update(ctx context.Context, damaged int) error {
	began := time.Now()
	if first, next := ix.cfg.Log.Bounds(); first < next {
		missing := uint64(0)
		for _, s := range missingRanges(ix.cover, first, next-1) {
			missing += s.Last - s.First + 1
		}
		if missing > manyMissing {
			ix.cfg.Logger.Info().Uint64("entries", missing).Msg("rebuilding the index of the journal, which takes a while")
		}
	}
	read, err := ix.catchUp(ctx)
	if err != nil {
		return err
	}
	level := zerolog.DebugLevel
	switch {
	case damaged > 0:
		level = zerolog.WarnLevel
	case read > ix.cfg.limit:
		level = zerolog.InfoLevel
	}
	if read > 0 || damaged > 0 {
		ix.cfg.Logger.WithLevel(level).Int("read", read).Int("damaged", damaged).Dur("took", time.Since(began)).Msg("index of the journal lacked entries; they were read from the journal")
	}
	return nil
}

// load reads the files. It returns how many are damaged.
func (ix *Index) load() (damaged int, err error) {
	files, err := os.ReadDir(ix.cfg.Dir)
	if err != nil {
		return 0, fmt.Errorf("read the index of the journal: %w", err)
	}
	var tails []uint64
	obsolete := uint64(0)
	for _, f := range files {
		seq, ext := seqOf(f.Name())
		ix.files.seq = max(ix.files.seq, seq)
		switch {
		case strings.HasSuffix(f.Name(), ".tmp"): // an unfinished run
			_ = os.Remove(filepath.Join(ix.cfg.Dir, f.Name())) // harmless if it stays
		case ext == tailExt && seq > 0:
			tails = append(tails, seq)
		case ext == runExt && seq > 0:
			r, err := openRun(ix.path(seq, runExt))
			if errors.Is(err, errRunDamaged) {
				damaged++
				err = os.Remove(ix.path(seq, runExt))
				if err == nil {
					continue
				}
			}
			if err != nil {
				return damaged, err
			}
			ix.adopt(r)
			obsolete = max(obsolete, r.info.tail)
		}
	}
	slices.Sort(tails)
	ix.active = newTable(nil, 0)
	for i, seq := range tails {
		if seq <= obsolete {
			continue
		}
		bad, err := ix.loadTail(seq, i == len(tails)-1)
		if err != nil {
			return damaged, err
		}
		if bad {
			damaged++
		}
	}
	if ix.active.log == nil {
		ix.active.log = ix.newTail()
	}
	ix.removeTails(obsolete)
	ix.dropReplaced()
	return damaged, nil
}

// dropReplaced removes runs that the other parts cover completely. These are damaged runs that were replaced just
// before relay was killed.
func (ix *Index) dropReplaced() {
	for _, r := range slices.Clone(ix.runs) { // oldest first
		others := slices.Clone(ix.active.cover)
		twice := len(r.info.cover) == 0 || contains(others, r.info.cover[0].First)
		for _, o := range ix.runs {
			twice = twice || o != r && contains(o.info.cover, r.info.cover[0].First)
		}
		if !twice { // the usual case
			continue
		}
		for _, o := range ix.runs {
			for _, s := range o.info.cover {
				if o != r {
					others = addRange(others, s)
				}
			}
		}
		if !slices.ContainsFunc(r.info.cover, func(s journal.Range) bool { return len(missingRanges(others, s.First, s.Last)) > 0 }) {
			ix.runs = slices.DeleteFunc(ix.runs, func(o *run) bool { return o == r })
			r.drop()
		}
	}
}

// adopt adds a run to the index.
func (ix *Index) adopt(r *run) {
	for i := range r.info.accounts {
		a := &r.info.accounts[i]
		ix.named(a.name).merge(a)
	}
	r.info.accounts = nil
	for _, s := range r.info.cover {
		ix.cover = addRange(ix.cover, s)
	}
	ix.runs = append(ix.runs, r)
}

// loadTail reads the file of a table into the active one. If it is the newest, new records are appended to it.
func (ix *Index) loadTail(seq uint64, newest bool) (damaged bool, err error) {
	t := &tailFile{path: ix.path(seq, tailExt), seq: seq, names: make(map[uint64]bool)}
	err = t.read(func(b *batch) {
		for _, name := range b.names {
			ix.named(name)
		}
		for i := range b.records {
			r := &b.records[i]
			ix.active.add(r)
			if a := ix.accounts[r.account]; a != nil {
				a.add(r)
			}
		}
		for _, s := range b.cover {
			ix.active.cover, ix.cover = addRange(ix.active.cover, s), addRange(ix.cover, s)
		}
	})
	damaged = errors.Is(err, errTailDamaged)
	if err != nil && !damaged {
		return false, err
	}
	if newest {
		ix.active.log = t
		return damaged, nil
	}
	return damaged, t.close()
}

// otherLog reports whether the index belongs to another log, in which its newest treat is a different one.
func (ix *Index) otherLog(ctx context.Context) (bool, error) {
	v, err := ix.view(ctx)
	if err != nil {
		return false, err
	}
	var newest record
	for _, a := range ix.accounts {
		if v.holds(a.newest.number) && a.newest.number > newest.number {
			newest = a.newest
		}
	}
	if newest.number == 0 {
		return false, nil
	}
	records, err := ix.cfg.Log.Read(ctx, newest.number, 1)
	if err != nil {
		return false, fmt.Errorf("compare the index with the journal: %w", err)
	}
	if len(records) == 0 || records[0].Number != newest.number {
		return false, nil // lost
	}
	for _, r := range recordsOf(nil, &records[0], nil) {
		if r.account == newest.account && r.content == newest.content && r.second == newest.second && r.repeat == newest.repeat {
			return false, nil
		}
	}
	return true, nil
}

// reset removes everything.
func (ix *Index) reset() error {
	for _, r := range ix.runs {
		r.drop()
	}
	if err := ix.active.log.close(); err != nil {
		return fmt.Errorf("make the index of the journal again: %w", err)
	}
	ix.removeTails(ix.files.seq)
	ix.runs, ix.cover, ix.accounts = nil, nil, make(map[uint64]*account)
	ix.active = newTable(ix.newTail(), 0)
	return nil
}

// A view is a snapshot of which numbers the log contains.
type view struct {
	first, next uint64
	gaps        []journal.Range
}

func (ix *Index) view(ctx context.Context) (v view, err error) {
	v.first, v.next = ix.cfg.Log.Bounds()
	if v.gaps, err = ix.cfg.Log.Gaps(ctx); err != nil {
		return v, fmt.Errorf("compare the index with the journal: %w", err)
	}
	return v, nil
}

// lost reports whether the log has lost a number.
func (v *view) lost(n uint64) bool { return n >= v.next || contains(v.gaps, n) }

// holds reports whether the log holds a number. A number that retention has dropped is neither held nor lost.
func (v *view) holds(n uint64) bool { return n >= v.first && n < v.next && !contains(v.gaps, n) }
