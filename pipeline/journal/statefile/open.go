package statefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/bbolt"
)

const (
	lockName  = "state.lock"
	lockPoll  = 20 * time.Millisecond
	keysNamed = 20 // in one line of the log
)

var errLocked error = &fixableError{"another process has the state open", "stop the relay that runs on this data folder"}

// Open opens the state in a folder, and creates it if needed. It verifies everything and repairs damage. If another
// process has the state open, it fails within a second. The caller must close the state.
func Open(ctx context.Context, options Options) (*State, error) {
	s := &State{
		dir: options.Dir, log: options.Log, writes: make(chan *stateWrite), closing: make(chan struct{}),
		copies: stateCopies{wake: make(chan struct{}, 1)},
		keys:   stateKeys{lost: map[string]struct{}{}, watchers: map[string]map[chan struct{}]struct{}{}},
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if err := s.acquire(ctx); err != nil {
		return nil, fmt.Errorf("open state %s: %w", s.dir, err)
	}
	err := s.open(nil)
	if err == nil {
		err = s.writeCopy()
	}
	if err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return nil, errors.Join(fmt.Errorf("open state %s: %w", s.dir, err), s.lock.Unlock())
	}
	s.running.Go(s.commitAll)
	s.running.Go(s.keepCopy)
	return s, nil
}

// acquire takes the lock that the process holds while it uses the state. bbolt's own lock does not suffice: it is on
// the file, which a repair replaces.
func (s *State) acquire(ctx context.Context) error {
	path := filepath.Join(s.dir, lockName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "lock", Path: path, Err: errNotRegular}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout, errLocked)
	defer cancel()
	s.lock = flock.New(path, flock.SetPermissions(0o600))
	if locked, err := s.lock.TryLockContext(ctx, lockPoll); err != nil || !locked {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return errors.Join(err, s.lock.Close())
	}
	return nil
}

// open checks the files, repairs damage, and opens state.db. If cause is not nil, it rewrites the file in any case. The
// caller holds s.mu or has exclusive access.
func (s *State) open(cause error) error {
	found, err := checkFile(s.dir, cause != nil)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	second, copyErr := readCopy(s.dir)
	noCopy := errors.Is(copyErr, fs.ErrNotExist)
	if copyErr != nil && !noCopy && !errors.Is(copyErr, errCopyDamaged) {
		return copyErr
	}
	switch {
	case missing && (noCopy || copyErr == nil && second.revision == 0):
		found = &stateCheck{}
		err = s.begin()
	case missing:
		found = &stateCheck{unknown: true, records: map[string]stateRecord{}, lost: map[string]struct{}{}, cause: errors.New("it is not there")}
		err = s.repair(found, second, copyErr)
	case found.cause != nil || cause != nil:
		if found, err = checkFile(s.dir, true); err == nil {
			found.damaged(cause)
			err = s.repair(found, second, copyErr)
		}
	default:
		s.checkCopy(found, second, copyErr)
	}
	if err != nil {
		return err
	}
	db, err := openBolt(filepath.Join(s.dir, fileName))
	if err != nil {
		return fmt.Errorf("open state.db: %w", err)
	}
	s.db = db
	s.keys.setLost(found.lost)
	return nil
}

// begin creates the files of a new state. The copy comes first, since a state.db without a copy means that the copy was
// lost.
func (s *State) begin() error {
	if err := replaceFile(s.dir, copyName, emptyCopy()); err != nil {
		return err
	}
	s.copies.note()
	return buildFile(s.dir, nil, 1)
}

// checkCopy requests a write of the second copy of an intact state if it is outdated.
func (s *State) checkCopy(found *stateCheck, second stateCopy, copyErr error) {
	if copyErr != nil {
		s.log.Error().Err(copyErr).Str("file", filepath.Join(s.dir, copyName)).
			Msg("the second copy of the state is damaged or gone; nothing is lost, and it is written again")
	}
	if copyErr != nil || second.revision != found.revision {
		s.copies.note()
	}
}

// repair replaces state.db by one with everything that is intact in it and its second copy, and logs that.
func (s *State) repair(found *stateCheck, second stateCopy, copyErr error) error {
	var aside []string
	for _, name := range [...]string{fileName, copyName} {
		if name == copyName && copyErr == nil {
			continue
		}
		path, err := quarantine(s.dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keep the damaged %s: %w", name, err)
		}
		aside = append(aside, path)
	}
	cause := found.cause
	merged := merge(found, second)
	if err := buildFile(s.dir, merged.records, merged.revision); err != nil {
		return fmt.Errorf("replace the damaged state.db (%w): %w", cause, err)
	}
	s.copies.note()
	line := s.log.Error().AnErr("damage", cause).Strs("kept_aside", aside).Int("intact", len(merged.records)-len(merged.restored)-len(merged.lost)).
		Int("restored", len(merged.restored)).Strs("restored_keys", first(merged.restored)).Int("lost", len(merged.lost)).Strs("lost_keys", first(merged.lost))
	switch {
	case copyErr != nil:
		line.AnErr("copy", copyErr).Msg("state.db and its second copy are both damaged: states of sinks, digests and baselines that are intact in neither are lost, " +
			"and relay treats them as new; what can be derived from the journal is rebuilt")
	case len(merged.lost) > 0:
		line.Msg("state.db was damaged: it was rebuilt from its intact parts and its second copy; the rest is rebuilt from the journal")
	default:
		line.Msg("state.db was damaged: it was rebuilt from its intact parts and its second copy, and nothing is lost")
	}
	return nil
}

func first(keys []string) []string { return keys[:min(len(keys), keysNamed)] }

// repairRunning repairs a state whose damage was found while db was in use. Another goroutine may have done so already.
func (s *State) repairRunning(db *bbolt.DB, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != db || db == nil {
		return nil
	}
	s.db = nil
	if !errors.Is(cause, errPanic) { // after a panic, bbolt's locks may be held forever; its file then stays open until the process ends
		if err := db.Close(); err != nil {
			return fmt.Errorf("close the damaged state.db: %w", err)
		}
	}
	s.damage = cause
	return s.open(cause)
}

// reopen retries what a failed repair left undone.
func (s *State) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return errClosed
	default:
	}
	if s.db != nil {
		return nil
	}
	return s.open(s.damage)
}

// setLost sets the keys that have lost their value.
func (k *stateKeys) setLost(lost map[string]struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.lost)
	maps.Copy(k.lost, lost)
}
