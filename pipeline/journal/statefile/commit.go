package statefile

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/treatrelay/relay/pipeline/journal"
)

// The bounds of a transaction.
const (
	maxWrites     = 1024
	maxWriteBytes = 4 << 20
)

// stateWrite is a change that waits for its transaction.
type stateWrite struct {
	key      string
	value    []byte
	expected uint64
	remove   bool
	done     chan stateWritten // has capacity for one
}

type stateWritten struct {
	revision uint64
	err      error
}

// Put implements [journal.State]. A key that has lost its value counts as missing. If ctx ends first, the value may
// still be stored.
func (s *State) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	err := checkKey(key)
	if err == nil && len(value) > maxValue {
		err = fmt.Errorf("the value has %d bytes; the state takes %d", len(value), maxValue)
	}
	if err != nil {
		return 0, fmt.Errorf("put state: %w", err)
	}
	revision, err := s.write(ctx, &stateWrite{key: key, value: value, expected: expected})
	if err != nil {
		return 0, fmt.Errorf("put state %q: %w", key, err)
	}
	return revision, nil
}

// Delete implements [journal.State].
func (s *State) Delete(ctx context.Context, key string) error {
	if _, err := s.write(ctx, &stateWrite{key: key, expected: journal.AnyRevision, remove: true}); err != nil {
		return fmt.Errorf("delete state %q: %w", key, err)
	}
	return nil
}

func (s *State) write(ctx context.Context, w *stateWrite) (uint64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	w.done = make(chan stateWritten, 1)
	select {
	case s.writes <- w:
	case <-s.closing:
		return 0, errClosed
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	select {
	case written := <-w.done:
		return written.revision, written.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// commitAll stores changes until the state closes.
func (s *State) commitAll() {
	for {
		select {
		case w := <-s.writes:
			s.commit(s.gather(w))
		case <-s.closing:
			for {
				select {
				case w := <-s.writes:
					w.done <- stateWritten{err: errClosed}
				default:
					return
				}
			}
		}
	}
}

// gather returns a change and the others that wait.
func (s *State) gather(w *stateWrite) []*stateWrite {
	writes, size := []*stateWrite{w}, len(w.value)
	for len(writes) < maxWrites && size < maxWriteBytes {
		select {
		case w = <-s.writes:
			writes, size = append(writes, w), size+len(w.value)
		default:
			return writes
		}
	}
	return writes
}

// commit stores changes in one transaction and answers their writers.
func (s *State) commit(writes []*stateWrite) {
	var p statePlan
	err := s.do(func(db *bbolt.DB) error {
		p = statePlan{results: make([]stateWritten, len(writes)), records: map[string][]byte{}}
		err := db.View(func(tx *bbolt.Tx) error { return p.make(tx, writes) })
		if err != nil || len(p.records) == 0 {
			return err
		}
		return db.Update(p.apply) // it never fails by itself, since bbolt reads the whole file after an error
	})
	if err == nil && p.copied {
		s.copies.note()
	}
	for i, w := range writes {
		if err != nil {
			w.done <- stateWritten{err: err}
			continue
		}
		if p.results[i].err == nil {
			s.keys.written(w.key)
		}
		w.done <- p.results[i]
	}
}

// statePlan is the content of a transaction.
type statePlan struct {
	total   stateTotal
	results []stateWritten    // for each change
	records map[string][]byte // to store, by key; nil: delete
	copied  bool              // the second copy needs a write
}

// make decides the outcome of each change.
func (p *statePlan) make(tx *bbolt.Tx, writes []*stateWrite) (err error) {
	if p.total, err = parseTotal(tx.Bucket([]byte(bucketName)).Get([]byte(totalKey))); err != nil {
		return fmt.Errorf("%w: its total: %w", errDamaged, err)
	}
	for i, w := range writes {
		r, before, err := p.lookUp(tx, w.key)
		if err != nil {
			return err
		}
		held := uint64(0)
		if r.kind == kindValue {
			held = r.revision
		}
		if w.expected != journal.AnyRevision && w.expected != held {
			p.results[i].err = journal.ErrRevision
			continue
		}
		if w.remove && before == nil {
			continue
		}
		p.total.revision++
		var after []byte
		if !w.remove {
			after = (&stateRecord{kind: kindValue, revision: p.total.revision, key: w.key, value: w.value}).encode()
		}
		p.total.replace(before, after)
		p.records[w.key], p.results[i].revision = after, p.total.revision
		if kind := copying(w.key); kind == kindValue || kind == kindName && (held == 0 || w.remove) {
			p.copied = true
		}
	}
	return nil
}

// lookUp returns the record of a key after the earlier changes.
func (p *statePlan) lookUp(tx *bbolt.Tx, key string) (stateRecord, []byte, error) {
	encoded, changed := p.records[key]
	if !changed {
		return lookUp(tx, key)
	}
	if encoded == nil {
		return stateRecord{}, nil, nil
	}
	r, err := parseRecord(encoded)
	return r, encoded, err
}

func (p *statePlan) apply(tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(bucketName))
	// A commit leaves the pages of earlier ones in the file. The sequence, stored beside the number of the bucket's first
	// page, shows that this number leads to the current pages.
	err := errors.Join(bucket.SetSequence(p.total.revision), bucket.Put([]byte(totalKey), p.total.encode()))
	for key, record := range p.records {
		if record == nil {
			err = errors.Join(err, bucket.Delete([]byte(key)))
		} else {
			err = errors.Join(err, bucket.Put([]byte(key), record))
		}
	}
	return err
}
