package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// readRecords is how many records are read from the log at a time.
const readRecords = 1024

// CatchUp indexes new records of the log, and drops those that retention has removed.
func (ix *Index) CatchUp(ctx context.Context) error {
	_, err := ix.catchUp(ctx)
	return err
}

// catchUp is CatchUp. It returns how many records it has read.
func (ix *Index) catchUp(ctx context.Context) (read int, err error) {
	ix.catching.Lock()
	defer ix.catching.Unlock()
	if err := ix.prune(ctx); err != nil {
		return 0, err
	}
	first, next := ix.cfg.Log.Bounds()
	if first >= next {
		return 0, nil
	}
	ix.mu.RLock()
	missing := missingRanges(ix.cover, first, next-1)
	ix.mu.RUnlock()
	for _, hole := range missing {
		n, err := ix.fill(ctx, hole)
		read += n
		if err != nil {
			return read, fmt.Errorf("bring the index up to date with the journal: %w", err)
		}
	}
	return read, nil
}

// fill indexes a part of the log.
func (ix *Index) fill(ctx context.Context, hole journal.Range) (read int, err error) {
	for at := hole.First; at <= hole.Last; {
		records, err := ix.cfg.Log.Read(ctx, at, readRecords)
		if err != nil {
			return read, err
		}
		b := &batch{}
		last := hole.Last // nothing else follows up to it
		for i := range records {
			r := &records[i]
			if r.Number > hole.Last {
				break
			}
			if i == len(records)-1 {
				last = r.Number
			}
			b.addEntry(r)
			b.records = recordsOf(b.records, r, nil)
			read++
		}
		b.cover = addRange(b.cover, journal.Range{First: at, Last: last})
		ix.append(b)
		if err := ix.await(ctx); err != nil {
			return read, err
		}
		at = last + 1
	}
	return read, nil
}

// await blocks while memory is full because a run is being written.
func (ix *Index) await(ctx context.Context) error {
	ix.mu.RLock()
	full, f := len(ix.active.records) >= ix.cfg.limit, ix.flush
	ix.mu.RUnlock()
	if !full || f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// prune drops runs whose records retention has removed from the log.
func (ix *Index) prune(ctx context.Context) error {
	first, _ := ix.cfg.Log.Bounds()
	ix.mu.RLock()
	some := slices.ContainsFunc(ix.runs, func(r *run) bool { return r.info.maxNumber < first })
	ix.mu.RUnlock()
	if !some {
		return nil
	}
	v, err := ix.view(ctx)
	if err != nil {
		return err
	}
	old := uint32(0)
	if ix.cfg.Retention > 0 {
		old = unix32(time.Now().Add(-ix.cfg.Retention).Unix())
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.runs = slices.DeleteFunc(ix.runs, func(r *run) bool {
		lost := slices.ContainsFunc(v.gaps, func(s journal.Range) bool { return s.First <= r.info.maxNumber && s.Last >= r.info.minNumber })
		if r.info.maxNumber >= v.first || lost && r.info.newestJournals >= old {
			return false
		}
		r.drop()
		return true
	})
	return nil
}
