// Package statefile is the state of the engine for one machine: [journal.State] in a bbolt file, with a checksum on
// each value and a second copy of everything that the log cannot restore. Damage is repaired as far as possible, and
// reported.
//
// Start reading at [State]; repair.go has the repair, and copy.go the second copy.
package statefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Options configure a [State].
type Options struct {
	// Dir is the folder of state.db, state.copy, state.lock and, after damage, the folder "damaged". It is created if
	// needed.
	Dir string
	Log zerolog.Logger
}

// State implements [journal.State] in a bbolt file, state.db. Its methods are safe for concurrent use. Every value has
// a checksum, and the whole file is verified when it is opened. Damage is logged in one line; the damaged file is set
// aside and replaced by one with everything that is intact. What the journal's log cannot restore has a second copy,
// state.copy, written a second after a change and by Close. See [State.Damaged] for the rest.
//
// Only one process at a time can open the state. Concurrent writers share a transaction.
type State struct {
	dir     string
	log     zerolog.Logger
	lock    *flock.Flock
	mu      sync.RWMutex // held for writing while the file is replaced
	db      *bbolt.DB    // nil: closed, or a repair has failed
	damage  error        // the latest damage that required a new file; guarded by mu
	writes  chan *stateWrite
	copies  stateCopies
	keys    stateKeys
	closing chan struct{}
	running sync.WaitGroup
}

// stateKeys tracks single keys.
type stateKeys struct {
	mu       sync.Mutex
	lost     map[string]struct{}
	watchers map[string]map[chan struct{}]struct{}
}

// Get implements [journal.State]. For a key that has lost its value, the error is [journal.ErrDamagedValue] until it is
// put or deleted.
func (s *State) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("get state %q: %w", key, context.Cause(ctx))
	}
	var r stateRecord
	err = s.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			r, _, err = lookUp(tx, key)
			r.value = bytes.Clone(r.value)
			return err
		})
	})
	switch {
	case err != nil:
	case r.kind == 0:
		err = journal.ErrNoKey
	case r.kind == kindLost:
		err = journal.ErrDamagedValue
	default:
		return r.value, r.revision, nil
	}
	return nil, 0, fmt.Errorf("get state %q: %w", key, err)
}

// lookUp returns the record of a key, without a kind if there is none, and its encoding. Both are valid during the
// transaction.
func lookUp(tx *bbolt.Tx, key string) (r stateRecord, encoded []byte, err error) {
	encoded = tx.Bucket([]byte(bucketName)).Get([]byte(key))
	if encoded == nil {
		return r, nil, nil
	}
	if r, err = parseRecord(encoded); err == nil && r.key != key {
		err = errRecordDamaged
	}
	if err != nil {
		return r, nil, fmt.Errorf("%w: the value of %q: %w", errDamaged, key, err)
	}
	return r, encoded, nil
}

// listAtOnce bounds the bytes that List reads in one transaction, since the file cannot grow meanwhile.
const listAtOnce = 1 << 20

// List implements [journal.State]. It leaves out keys that have lost their value. It may or may not see concurrent
// changes.
func (s *State) List(ctx context.Context, prefix string, visit func(key string, value []byte) error) error {
	for next := prefix; ; {
		if ctx.Err() != nil {
			return fmt.Errorf("list state %q: %w", prefix, context.Cause(ctx))
		}
		var part []stateRecord
		var more bool
		err := s.do(func(db *bbolt.DB) error {
			return db.View(func(tx *bbolt.Tx) (err error) {
				part, more, err = listPart(tx, prefix, next)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("list state %q: %w", prefix, err)
		}
		for _, r := range part {
			next = r.key + "\x00"
			if r.kind != kindValue {
				continue
			}
			if err := visit(r.key, r.value); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// listPart returns the records of a prefix from a key on. It reports whether there are more.
func listPart(tx *bbolt.Tx, prefix, from string) (part []stateRecord, more bool, err error) {
	size := 0
	cursor := tx.Bucket([]byte(bucketName)).Cursor()
	for key, encoded := cursor.Seek([]byte(from)); key != nil && strings.HasPrefix(string(key), prefix); key, encoded = cursor.Next() {
		if string(key) == totalKey {
			continue
		}
		if size > listAtOnce {
			return part, true, nil
		}
		r, err := parseRecord(encoded)
		if err == nil && r.key != string(key) {
			err = errRecordDamaged
		}
		if err != nil {
			return nil, false, fmt.Errorf("%w: the value of %q: %w", errDamaged, key, err)
		}
		r.value = bytes.Clone(r.value)
		part = append(part, r)
		size += len(encoded)
	}
	return part, false, nil
}

// Damaged returns the keys that have lost their value to damage and were not put or deleted since. Their owner rebuilds
// them. If the damaged keys are not all known, "derived" is among them: then any key without a second copy may be
// missing or have an older value.
func (s *State) Damaged() []string {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	return slices.Sorted(maps.Keys(s.keys.lost))
}

// Watch implements [journal.State]. Changes in quick succession may be reported as one. A deleted key is reported as
// nil and 0.
func (s *State) Watch(ctx context.Context, key string, changed func(value []byte, revision uint64)) error {
	wake := make(chan struct{}, 1)
	s.keys.watch(key, wake)
	defer s.keys.unwatch(key, wake)
	for last := uint64(0); ; {
		value, revision, err := s.Get(ctx, key)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, journal.ErrNoKey):
			value, revision = nil, 0
		case err != nil:
			return fmt.Errorf("watch state: %w", err)
		}
		if revision != last {
			last = revision
			changed(value, revision)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return fmt.Errorf("watch state %q: %w", key, errClosed)
		}
	}
}

func (k *stateKeys) watch(key string, wake chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.watchers[key] == nil {
		k.watchers[key] = map[chan struct{}]struct{}{}
	}
	k.watchers[key][wake] = struct{}{}
}

func (k *stateKeys) unwatch(key string, wake chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.watchers[key], wake)
	if len(k.watchers[key]) == 0 {
		delete(k.watchers, key)
	}
}

// written records that a key was put or deleted.
func (k *stateKeys) written(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lost, key)
	for wake := range k.watchers[key] {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// do calls a function that uses the file. If that shows damage, it repairs the file and calls the function again.
func (s *State) do(use func(*bbolt.DB) error) error {
	var used *bbolt.DB
	noting := func(db *bbolt.DB) error {
		used = db
		return use(db)
	}
	err := s.within(noting)
	if errors.Is(err, errClosed) {
		if err := s.reopen(); err != nil {
			return err
		}
		err = s.within(noting)
	}
	if !errors.Is(err, errDamaged) {
		return err
	}
	if err := s.repairRunning(used, err); err != nil {
		return err
	}
	return s.within(use)
}

// within calls a function that uses the file. A panic of bbolt, or a fault on an unreadable page, becomes an
// [errPanic].
func (s *State) within(use func(*bbolt.DB) error) (err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %v", errDamaged, errPanic, p)
		}
	}()
	return use(s.db)
}

var (
	errClosed = errors.New("the state is closed")
	errPanic  = errors.New("state.db cannot be read")
)

// Close implements [journal.State]. It writes the second copy if it is outdated.
func (s *State) Close() error {
	close(s.closing)
	s.running.Wait()
	err := s.writeCopy()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
		s.db = nil
	}
	return errors.Join(err, s.lock.Unlock())
}
