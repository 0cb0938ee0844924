package index

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A damage is an error of reading a damaged run.
type damage struct {
	run *run
	err error
}

func (d *damage) Error() string { return d.err.Error() }

func (d *damage) Unwrap() error { return d.err }

// failed wraps an error of reading a run.
func failed(r *run, err error) error {
	if errors.Is(err, errRunDamaged) {
		return &damage{r, err}
	}
	return err
}

// repaired reports whether to retry, because *err was damage that is repaired now. If the repair fails, it sets *err.
func (ix *Index) repaired(ctx context.Context, err *error) bool {
	d, ok := errors.AsType[*damage](*err)
	if !ok {
		return false
	}
	*err = ix.repair(ctx, d.run, d.err)
	return *err == nil
}

// repair replaces a damaged run. It keeps the readable records and reads the rest from the log.
func (ix *Index) repair(ctx context.Context, r *run, why error) error {
	ix.catching.Lock()
	defer ix.catching.Unlock()
	ix.mu.RLock()
	ours := slices.Contains(ix.runs, r)
	b := &batch{cover: r.info.cover, instead: r}
	for _, a := range ix.accounts {
		b.names = append(b.names, a.name) // the run's accounts are among them
	}
	ix.mu.RUnlock()
	if !ours {
		return nil // another goroutine has repaired it
	}
	for n := range r.fences {
		if records, err := r.block(n, nil); err == nil {
			b.records = append(b.records, records...)
		}
	}
	have := make(map[record]bool, len(b.records))
	for i := range b.records {
		have[b.records[i]] = true
	}
	kept, read := len(b.records), 0
	for _, s := range r.info.cover {
		err := ix.reread(ctx, s, func(one *journal.Record) {
			read++
			for _, again := range recordsOf(nil, one, nil) {
				if !have[again] {
					b.records = append(b.records, again)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	ix.append(b)
	r.drop()
	ix.cfg.Logger.Warn().Err(why).Str("file", filepath.Base(r.path)).Int("kept", kept).Int("read", read).
		Msg("a file of the journal's index was damaged: the missing part is read from the journal")
	return nil
}

// reread calls visit with each record of the log in a range.
func (ix *Index) reread(ctx context.Context, s journal.Range, visit func(*journal.Record)) error {
	for at := s.First; at <= s.Last; {
		records, err := ix.cfg.Log.Read(ctx, at, readRecords)
		if err != nil {
			return fmt.Errorf("make the index again: %w", err)
		}
		if len(records) == 0 {
			return nil
		}
		for i := range records {
			if records[i].Number <= s.Last {
				visit(&records[i])
			}
		}
		at = records[len(records)-1].Number + 1
	}
	return nil
}

// recomputeCover recomputes ix.cover. ix.mu is held.
func (ix *Index) recomputeCover() {
	ix.cover = nil
	for _, t := range []*table{ix.full, ix.active} {
		if t != nil {
			for _, s := range t.cover {
				ix.cover = addRange(ix.cover, s)
			}
		}
	}
	for _, r := range ix.runs {
		for _, s := range r.info.cover {
			ix.cover = addRange(ix.cover, s)
		}
	}
}

// Loss is what the log has lost of one account.
type Loss struct {
	Account     string
	Events      int
	First, Last time.Time // when the first and last of them were journaled, to the second
}

// Lost returns which treats from a number on the log has lost.
func (ix *Index) Lost(ctx context.Context, from uint64) (losses []Loss, err error) {
	for {
		if losses, err = ix.lostFrom(ctx, from); !ix.repaired(ctx, &err) {
			return losses, err
		}
	}
}

func (ix *Index) lostFrom(ctx context.Context, from uint64) (losses []Loss, err error) {
	v, err := ix.view(ctx)
	if err != nil {
		return nil, err
	}
	at := make(map[uint64]int)
	visit := func(r *record) {
		if !r.counts() || r.number < from || !v.lost(r.number) {
			return
		}
		n, ok := at[r.account]
		when := time.Unix(int64(r.journaled), 0).UTC()
		if !ok {
			n = len(losses)
			at[r.account] = n
			losses = append(losses, Loss{Account: ix.nameOf(r.account), First: when, Last: when})
		}
		l := &losses[n]
		l.Events++
		if when.Before(l.First) {
			l.First = when
		}
		if when.After(l.Last) {
			l.Last = when
		}
	}
	s := ix.snapshot(func(r *run) bool { return r.info.maxNumber >= from }, func(t *table) []record { return slices.Clone(t.records) })
	defer s.release()
	for i := range s.records {
		visit(&s.records[i])
	}
	for _, r := range s.runs {
		for n := range r.fences {
			records, err := r.block(n, nil)
			if err != nil {
				return nil, failed(r, err)
			}
			for i := range records {
				visit(&records[i])
			}
		}
	}
	slices.SortFunc(losses, func(a, b Loss) int { return a.First.Compare(b.First) })
	return losses, nil
}

func (ix *Index) nameOf(hash uint64) string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if a := ix.accounts[hash]; a != nil {
		return a.name
	}
	return "?"
}
