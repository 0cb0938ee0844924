// Package cursor stores the lanes' positions in the journal. A cursor is the next number to read, the numbers below it
// that are not settled, and those that the journal had lost when the lane read there.
//
// Each cursor has two durable copies, one in a file for all lanes and one in the journal's state. Either suffices. A
// position includes the id of the record before it, which reveals a journal that was replaced or has lost its end.
//
// A lane provides its current cursor as a function. Start reading at [Store] and
// [Position].
package cursor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	// saveEvery is how often changed cursors are synced. A power failure repeats the deliveries of this interval.
	saveEvery = 100 * time.Millisecond
	// writeAfter is the number of settled deliveries that triggers an early write without a sync, so that a killed
	// process repeats no more than that. writePause is the shortest interval between such writes.
	writeAfter = 200
	writePause = 5 * time.Millisecond
	// writeNow is the number of settled deliveries after which a lane writes the file itself, if the saver lags behind.
	writeNow = 1000
	// copyEvery is how often changed cursors are copied to the state.
	copyEvery = time.Second
	// idleEvery is how often the cursors of lanes are saved that only skip records.
	idleEvery = time.Minute
	// copyTime bounds one copy to the state, and copiesAtOnce the concurrent ones.
	copyTime     = 5 * time.Second
	copiesAtOnce = 32
)

// Store keeps the cursors of all lanes: in one file, where a single write and fsync saves them all, and each in the
// journal's state. Of the two copies, the one with the higher generation counts.
type Store struct {
	state  journal.State
	end    func() Position // the position that idle lanes share
	logger zerolog.Logger
	dirty  dirtySet      // sinks whose encoding is outdated
	early  chan struct{} // signals writeAfter settled deliveries

	mu         sync.Mutex
	file       *slotFile // nil: there is none
	generation uint64
	lanes      map[string]*storedCursor
	latest     lastWrite
}

// lastWrite describes the latest write to the file.
type lastWrite struct {
	end      Position  // the journal's end then
	at       time.Time // when it was
	unsynced bool      // it has failed, or is not synced
	logged   string    // the failure that was logged
}

// A storedCursor is the cursor of a sink, whose lane may be open or not.
type storedCursor struct {
	cursor   journal.Cursor // as it was read, or as its lane left it
	encoded  []byte
	snapshot snapshot // nil: the lane is not open

	copying sync.Mutex // held while copying to the state, so that copies are written in order
	stale   bool       // the copy in the state is older; guarded by Store.mu
}

// A snapshot returns the current cursor of a lane, given the journal's end, and whether the lane is idle. last means
// that the lane has ended.
type snapshot func(end Position, last bool) (c journal.Cursor, idle bool)

// dirtySet is a set of sinks that is cheap to add to.
type dirtySet struct {
	mu      sync.Mutex
	sinks   map[string]struct{}
	settled int // deliveries since the last take
}

// settle counts settled deliveries. It reports whether there are many.
func (s *dirtySet) settle(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled += n
	return s.settled >= writeAfter
}

// behind reports whether there are so many that the file must be written now.
func (s *dirtySet) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled >= writeNow
}

func (s *dirtySet) add(sink string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sinks == nil {
		s.sinks = make(map[string]struct{})
	}
	s.sinks[sink] = struct{}{}
}

func (s *dirtySet) remove(sink string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sinks, sink)
}

func (s *dirtySet) takeAll() map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.sinks
	s.sinks, s.settled = nil, 0
	return all
}

// Follow provides the journal's end, which idle lanes share. Call it before opening a lane.
func (s *Store) Follow(end func() Position) { s.end = end }

// MarkDirty records that the cursor of a sink has changed.
func (s *Store) MarkDirty(sink string) { s.dirty.add(sink) }

// Settled counts settled deliveries of a sink whose destination cannot report what it holds. It complements
// [Store.MarkDirty].
func (s *Store) Settled(n int) {
	if s.file != nil && s.dirty.settle(n) {
		select {
		case s.early <- struct{}{}:
		default:
		}
	}
}

// KeepUp writes the file if the saver is far behind the deliveries that [Store.Settled] counted. It makes a lane wait that
// is faster than the disk, so that a killed process repeats a bounded number of them. The caller holds no lock that a
// snapshot needs.
func (s *Store) KeepUp() {
	if s.file != nil && s.dirty.behind() {
		_ = s.save(false, false) // it logs a failure, and the saver retries
	}
}

// Begin saves the cursor of a new lane, so that it starts at the same position if relay is killed now. Commands beside
// relay read it in the state.
func (s *Store) Begin(ctx context.Context, sink string, now snapshot) error {
	err := s.Open(sink, now)
	if err != nil {
		return err
	}
	if s.file != nil {
		err = s.Save(true)
	}
	if copyErr := s.Copy(ctx, sink); err != nil || s.file == nil {
		err = copyErr // one copy suffices to start
	}
	if err != nil {
		s.abandon(sink)
	}
	return err
}

// Open reads both copies. It returns the position at the journal's end when the file was last saved, or the zero value if
// unknown.
func Open(ctx context.Context, state journal.State, path string, logger zerolog.Logger) (*Store, Position, error) {
	s := &Store{state: state, logger: logger, lanes: make(map[string]*storedCursor), early: make(chan struct{}, 1)}
	var end Position
	found := make(map[string]journal.Cursor)
	if path != "" {
		s.file = &slotFile{path: path}
		value, generation, err := readSlots(path)
		if err == nil {
			end, found, err = parseCursors(value, generation)
			s.generation = generation
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			end, found = Position{}, make(map[string]journal.Cursor)
			logger.Warn().Err(err).Str("file", path).Msg("file of the cursors is damaged: their copies in the state are used")
		}
	}
	copies, err := s.copies(ctx, found)
	if err != nil {
		return nil, end, err
	}
	for sink, c := range copies {
		if other, ok := found[sink]; !ok || c.Generation > other.Generation {
			found[sink] = c
		}
	}
	for sink, c := range found {
		s.lanes[sink] = &storedCursor{cursor: c, encoded: appendLane(nil, sink, &c, false, true)}
		s.generation = max(s.generation, c.Generation)
	}
	return s, end, nil
}

// copies reads the cursors in the state. It treats unreadable ones as missing, and logs them.
func (s *Store) copies(ctx context.Context, known map[string]journal.Cursor) (map[string]journal.Cursor, error) {
	all := make(map[string]journal.Cursor)
	prefix := journal.CursorKey("")
	var damaged []string
	read := func(key string, value []byte) error {
		var c journal.Cursor
		if err := json.Unmarshal(value, &c); err != nil || c.Next == 0 || !Numbers(c.Open).valid() || !Numbers(c.Missing).valid() {
			damaged = append(damaged, strings.TrimPrefix(key, prefix))
			return nil //nolint:nilerr // reported below
		}
		all[strings.TrimPrefix(key, prefix)] = c
		return nil
	}
	err := s.state.List(ctx, prefix, read)
	if errors.Is(err, journal.ErrDamagedValue) { // read the others one by one
		err = nil
		for _, sink := range slices.Sorted(maps.Keys(known)) {
			value, _, getErr := s.state.Get(ctx, journal.CursorKey(sink))
			switch {
			case getErr == nil:
				_ = read(journal.CursorKey(sink), value) // never fails
			case errors.Is(getErr, journal.ErrDamagedValue):
				damaged = append(damaged, sink)
			case !errors.Is(getErr, journal.ErrNoKey):
				err = getErr
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the cursors of the sinks: %w", err)
	}
	if len(damaged) > 0 {
		s.logger.Warn().Strs("sinks", damaged).Msg("cursors in the state are damaged: those in their file are used")
	}
	return all, nil
}

// Furthest returns the highest number that any cursor has passed.
func (s *Store) Furthest() (sink string, next uint64) {
	for name, lane := range s.lanes {
		if lane.cursor.Next > next {
			sink, next = name, lane.cursor.Next
		}
	}
	return sink, next
}

// Find returns the cursor of a sink whose lane is not open.
func (s *Store) Find(sink string) (journal.Cursor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lane := s.lanes[sink]
	if lane == nil {
		return journal.Cursor{}, false
	}
	return lane.cursor, true
}

// Current returns the current cursors.
func (s *Store) Current() map[string]journal.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.end()
	all := make(map[string]journal.Cursor, len(s.lanes))
	for sink, lane := range s.lanes {
		all[sink] = lane.cursor
		if lane.snapshot != nil {
			all[sink], _ = lane.snapshot(end, false)
		}
	}
	return all
}

var errLaneOpen = errors.New("its lane is open already")

// Open starts saving the cursor of a lane.
func (s *Store) Open(sink string, now snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lane := s.lanes[sink]
	if lane == nil {
		lane = &storedCursor{}
		s.lanes[sink] = lane
	}
	if lane.snapshot != nil {
		return fmt.Errorf("open the lane of sink %s: %w", sink, errLaneOpen)
	}
	lane.snapshot = now
	s.dirty.add(sink)
	return nil
}

// Close saves a lane's cursor a last time. An error means that neither copy has it.
func (s *Store) Close(ctx context.Context, sink string) error {
	s.mu.Lock()
	lane := s.lanes[sink]
	s.generation++
	lane.cursor, _ = lane.snapshot(s.end(), true)
	lane.cursor.Generation = s.generation
	lane.snapshot = nil
	lane.encoded = appendLane(lane.encoded[:0], sink, &lane.cursor, false, true)
	s.mu.Unlock()
	s.dirty.add(sink)
	fileErr := s.Save(true)
	stateErr := clock.WriteWithTimeout(ctx, func(ctx context.Context) error { return s.Copy(ctx, sink) })
	if stateErr != nil && fileErr != nil {
		return errors.Join(fileErr, stateErr)
	}
	return nil
}

// Save writes and syncs the file if something has changed. now includes what idle lanes have skipped.
func (s *Store) Save(now bool) error { return s.save(now, true) }

// save writes the file if something has changed. Without a sync it survives the end of the process, with one also a
// power failure.
func (s *Store) save(now, sync bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.end() // before the dirty sinks are taken: a lane that got something before is among them
	dirty := s.dirty.takeAll()
	moved := end.Next != s.latest.end.Next && (now || time.Since(s.latest.at) >= idleEvery)
	if len(dirty) == 0 && !moved && !s.latest.unsynced {
		return nil
	}
	s.generation++
	if moved {
		dirty = s.allOpen(dirty)
	}
	for sink := range dirty {
		lane := s.lanes[sink]
		lane.stale = true
		if lane.snapshot != nil {
			c, idle := lane.snapshot(end, false)
			lane.encoded = appendLane(lane.encoded[:0], sink, &c, idle && c.Next == end.Next, false)
		}
	}
	if s.file == nil {
		s.latest.end, s.latest.at = end, time.Now()
		return nil
	}
	return s.write(end, sync)
}

// allOpen adds the sinks with open lanes to a set. s.mu is held.
func (s *Store) allOpen(to map[string]struct{}) map[string]struct{} {
	if to == nil {
		to = make(map[string]struct{})
	}
	for sink, lane := range s.lanes {
		if lane.snapshot != nil {
			to[sink] = struct{}{}
		}
	}
	return to
}

// abandon records that a lane was not opened after all.
func (s *Store) abandon(sink string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lanes, sink)
	s.dirty.remove(sink)
}

// write writes the file. s.mu is held.
func (s *Store) write(end Position, sync bool) error {
	value := header(nil, end)
	for _, lane := range s.lanes {
		value = append(value, lane.encoded...)
	}
	err := s.file.write(value, s.generation, sync)
	s.latest.unsynced = err != nil || !sync
	if err == nil {
		if s.latest.logged != "" {
			s.latest.logged = ""
			s.logger.Info().Msg("cursors are saved again")
		}
		s.latest.end, s.latest.at = end, time.Now()
		return nil
	}
	err = fmt.Errorf("save the cursors in %s: %w", s.file.path, err)
	if text := err.Error(); text != s.latest.logged {
		s.latest.logged = text
		s.logger.Warn().Err(err).Msg("cursors cannot be saved in their file: if relay is killed now, some events are delivered again")
	}
	return err
}
