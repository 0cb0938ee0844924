package index

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A snapshot is a part of the index that does not change until it is released.
type snapshot struct {
	records []record // of the tables
	runs    []*run
}

func (ix *Index) snapshot(want func(*run) bool, take func(*table) []record) (s snapshot) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	for _, t := range []*table{ix.full, ix.active} {
		if t != nil {
			s.records = append(s.records, take(t)...)
		}
	}
	for _, r := range ix.runs {
		if want(r) {
			r.acquire()
			s.runs = append(s.runs, r)
		}
	}
	return s
}

func (s *snapshot) release() {
	for _, r := range s.runs {
		r.release()
	}
}

// lookup calls visit with each record of a key.
func (ix *Index) lookup(account uint64, second uint32, content uint64, visit func(*record)) error {
	var room [4]*run
	runs := room[:0]
	hash := keyHash(account, second, content)
	ix.mu.RLock()
	for _, t := range [...]*table{ix.active, ix.full} {
		if t != nil {
			t.find(account, second, content, visit)
		}
	}
	for _, r := range ix.runs {
		if r.info.minSecond <= second && second <= r.info.maxSecond && r.bloom.has(hash) {
			r.acquire()
			runs = append(runs, r)
		}
	}
	ix.mu.RUnlock()
	var err error
	for _, r := range runs {
		if err == nil {
			err = failed(r, r.find(account, second, content, visit))
		}
		r.release()
	}
	return err
}

// Find appends to hits the events of an account with that content and date that the log contains or has lost, in no
// particular order.
func (ix *Index) Find(ctx context.Context, hits []Hit, account string, f *fingerprint.Fingerprint) ([]Hit, error) {
	from := len(hits)
	hash, second := accountHash(account), unix32(f.When.Digits)
	for {
		hits = hits[:from]
		err := ix.lookup(hash, second, f.Content, func(r *record) {
			if r.kind() == kindTreat && r.flags&flagFloating != 0 == f.When.Floating {
				hits = append(hits, r.hit(false))
			}
		})
		if ix.repaired(ctx, &err) {
			continue
		} else if err != nil {
			return hits[:from], err
		}
		break
	}
	if len(hits) == from {
		return hits, nil
	}
	v, err := ix.view(ctx)
	if err != nil {
		return hits[:from], err
	}
	kept := hits[:from]
	for _, h := range hits[from:] {
		if h.Lost = v.lost(h.Number); h.Lost || v.holds(h.Number) {
			kept = append(kept, h)
		}
	}
	return kept, nil
}

// Range calls visit with the events and known treats of an account, by date, until visit returns false. from and to
// bound the date, which is read as UTC if it has no zone. After an error, visit may have seen some of them.
// [ErrDamaged] means: start over.
func (ix *Index) Range(ctx context.Context, account string, from, to time.Time, visit func(*Hit) bool) error {
	first, last := record{account: accountHash(account), second: unix32(from.Unix())}, unix32(to.Unix())
	return ix.walk(ctx, &first, last, func(r *run) bool {
		return r.info.minSecond <= last && r.info.maxSecond >= first.second
	}, func(r *record, v *view) bool {
		if r.kind() != kindTreat && r.kind() != kindKnown {
			return true
		}
		lost := v.lost(r.number)
		if !lost && !v.holds(r.number) && r.kind() != kindKnown {
			return true
		}
		h := r.hit(lost)
		return visit(&h)
	})
}

// Backfilled calls visit with the backfilled treats that the log contains after a number and that were journaled at or
// after since, in no particular order, until visit returns false. After an error, visit may have seen some of them.
// [ErrDamaged] means: start over.
func (ix *Index) Backfilled(ctx context.Context, account string, after uint64, since time.Time, visit func(*Hit) bool) error {
	if ix.Account(account).Backfilled <= after {
		return nil
	}
	first, from := record{account: accountHash(account)}, unix32(since.Unix())
	return ix.walk(ctx, &first, ^uint32(0), func(r *run) bool {
		return r.info.maxNumber > after && r.info.newestJournals >= from
	}, func(r *record, v *view) bool {
		if r.number <= after || r.journaled < from || r.kind() != kindTreat || r.flags&flagBackfill == 0 || !v.holds(r.number) {
			return true
		}
		h := r.hit(false)
		return visit(&h)
	})
}

// LostBatches returns the numbers of the backfill batches that the log has lost and that were not journaled again.
// [ErrDamaged] means: start over.
func (ix *Index) LostBatches(ctx context.Context, account string) (batches map[journal.Range]uint64, err error) {
	v, err := ix.view(ctx)
	if err != nil || len(v.gaps) == 0 {
		return nil, err
	}
	batches = make(map[journal.Range]uint64)
	held := make(map[journal.Range]bool)
	first := record{account: accountHash(account)}
	err = ix.walk(ctx, &first, ^uint32(0), func(r *run) bool { return r.info.others > 0 }, func(r *record, v *view) bool {
		if r.kind() != kindBatch {
			return true
		}
		if s := (journal.Range{First: r.content, Last: r.core}); v.lost(r.number) {
			batches[s] = r.number
		} else {
			held[s] = true
		}
		return true
	})
	for s := range held {
		delete(batches, s)
	}
	return batches, err
}

// CountKnown returns the number of distinct treats of a baseline.
func (ix *Index) CountKnown(ctx context.Context, account, baseline string) (n int, err error) {
	first, tag := record{account: accountHash(account)}, BaselineTag(baseline)
	for {
		n = 0
		err := ix.walk(ctx, &first, ^uint32(0), func(r *run) bool { return r.info.others > 0 }, func(r *record, _ *view) bool {
			if r.kind() == kindKnown && r.baseline == tag {
				n++
			}
			return true
		})
		if !errors.Is(err, ErrDamaged) {
			return n, err
		}
	}
}

// Has reports whether the log contains an event or the index expects it. If not, the index expects it from now on.
func (ix *Index) Has(ctx context.Context, e *journal.Entry) (bool, error) {
	f, ok := ofLine(e.Data)
	if !ok {
		return false, nil
	}
	if !ix.Expect(e.ID, &f) {
		return true, nil
	}
	hits, err := ix.Find(ctx, nil, e.Account, &f)
	for _, h := range hits {
		if h.Lost || err != nil {
			continue
		}
		var records []journal.Record
		if records, err = ix.cfg.Log.Read(ctx, h.Number, 1); len(records) > 0 && records[0].Number == h.Number && records[0].ID == e.ID {
			ix.Forget(e.ID)
			return true, nil
		}
	}
	if err != nil {
		ix.Forget(e.ID)
		return false, fmt.Errorf("look for event %s in the journal: %w", e.ID, err)
	}
	return false, nil
}

// walk visits the records of an account in order, from first up to dates at the second last. ErrDamaged means: start
// over.
func (ix *Index) walk(ctx context.Context, first *record, last uint32, want func(*run) bool, visit func(*record, *view) bool) error {
	err := ix.walkOnce(ctx, first, last, want, visit)
	if ix.repaired(ctx, &err) {
		return ErrDamaged
	}
	return err
}

func (ix *Index) walkOnce(ctx context.Context, first *record, last uint32, want func(*run) bool, visit func(*record, *view) bool) error {
	s := ix.snapshot(want, func(t *table) (records []record) {
		t.of(first.account, func(r *record) bool {
			if first.second <= r.second && r.second <= last {
				records = append(records, *r)
			}
			return true
		})
		return records
	})
	defer s.release()
	slices.SortFunc(s.records, func(a, b record) int { return a.compare(&b) })
	v, err := ix.view(ctx) // after the snapshot, so that its durable records are within the bounds
	if err != nil {
		return err
	}
	order := make(merge, 0, len(s.runs)+1)
	order = append(order, &cursor{records: s.records})
	for _, r := range s.runs {
		order = append(order, &cursor{run: r, block: r.seek(first)})
	}
	for i := 0; i < len(order); i++ {
		more, err := order[i].start(first)
		if err != nil {
			return failed(order[i].run, err)
		}
		if !more {
			order = slices.Delete(order, i, i+1)
			i--
		}
	}
	heap.Init(&order)
	for len(order) > 0 {
		c := order[0]
		if r := &c.records[0]; r.account != first.account || r.second > last {
			heap.Pop(&order)
			continue
		} else if !visit(r, &v) {
			return nil
		}
		more, err := c.next()
		switch {
		case err != nil:
			return failed(c.run, err)
		case more:
			heap.Fix(&order, 0)
		default:
			heap.Pop(&order)
		}
	}
	return nil
}

// A cursor is a position in a run, or in the records of the tables if run is nil.
type cursor struct {
	run     *run
	block   int // the next block to read
	records []record
	room    []record
}

// start moves to the first record at or after first. It reports false if there is none.
func (c *cursor) start(first *record) (bool, error) {
	for {
		for len(c.records) > 0 && c.records[0].compare(first) < 0 {
			c.records = c.records[1:]
		}
		if len(c.records) > 0 {
			return true, nil
		}
		if more, err := c.load(); !more || err != nil {
			return false, err
		}
	}
}

func (c *cursor) next() (bool, error) {
	if c.records = c.records[1:]; len(c.records) > 0 {
		return true, nil
	}
	return c.load()
}

func (c *cursor) load() (more bool, err error) {
	if c.run == nil || c.block >= len(c.run.fences) {
		return false, nil
	}
	c.room, err = c.run.block(c.block, c.room[:0])
	c.records = c.room
	c.block++
	return len(c.records) > 0, err
}

// merge is a heap of cursors, ordered by their next record.
type merge []*cursor

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i].records[0].compare(&m[j].records[0]) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push implements [heap.Interface].
func (m *merge) Push(x any) { *m = append(*m, x.(*cursor)) }

// Pop implements [heap.Interface].
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
