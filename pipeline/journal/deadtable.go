package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// deadTable tracks the table of dead letters in the state: the keys with the prefix deadPrefix. The table is derived
// from the log.
type deadTable struct {
	wake chan struct{} // signals that the table needs an update

	deriving sync.Mutex          // serializes updates
	loaded   bool                // guarded by deriving, like old
	old      map[uint64]struct{} // during a rebuild from the whole log: the numbers that the table had before

	mu      sync.Mutex
	busy    bool   // derive is reading the log
	through uint64 // the table covers the log up to this number
	noted   uint64 // through according to the state
}

// derivedState is the value of derivedKey.
type derivedState struct {
	Through uint64 `json:"through"`
}

// deadEntry is the value of a dead letter in the table. The rest is in the log.
type deadEntry struct {
	Sink     string    `json:"sink"`
	Account  string    `json:"account,omitempty"`
	ID       string    `json:"id"`            // of the event
	Seq      uint64    `json:"seq,omitempty"` // of the entry that the sink refused
	Time     time.Time `json:"time"`          // when it was journaled
	Reason   string    `json:"reason,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
}

const (
	// noteEvery is how many numbers without a change are recorded in the state at once. A killed process reads at most
	// that many again.
	noteEvery = 16 << 10
	// deadChanges bounds the changes of the table in memory.
	deadChanges = 4096
	// deadWriters bounds the concurrent writes to the table.
	deadWriters = 256
	// deadReason bounds the reason in the table, in bytes.
	deadReason = 256
)

func deadKey(number uint64) string { return fmt.Sprintf("%s%020d", deadPrefix, number) }

func deadNumber(key string) (uint64, error) {
	return strconv.ParseUint(strings.TrimPrefix(key, deadPrefix), 10, 64)
}

func affectsDead(e *Entry) bool {
	return e.Kind == Dead || e.Kind == Purge || e.Kind == Resend && e.Ref != 0
}

// note processes records that were just written, and requests an update of the table if needed.
func (t *deadTable) note(log Log, records []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := false
	for i := range records {
		if due = affectsDead(&records[i].Entry); due {
			break
		}
		if n := records[i].Number; !t.busy && n == t.through+1 {
			t.through = n
		}
	}
	if _, next := log.Bounds(); due || t.through-t.noted >= noteEvery || next > t.through+noteEvery {
		t.request()
	}
}

// derive updates the table of dead letters from the log.
func (j *Journal) derive(ctx context.Context) error {
	d := &j.dead
	d.deriving.Lock()
	defer d.deriving.Unlock()
	if err := j.deriveLocked(ctx); err != nil {
		return fmt.Errorf("derive the dead letters from the journal: %w", err)
	}
	return nil
}

func (j *Journal) deriveLocked(ctx context.Context) error {
	d := &j.dead
	lost := j.lostDead()
	if !d.loaded || len(lost) > 0 {
		d.loaded = false
		if err := j.loadDead(ctx, len(lost) == 0); err != nil {
			return err
		}
		d.loaded = true
	}
	d.setBusy(true)
	defer d.setBusy(false)
	changes := make(map[uint64][]byte)
	for !d.upToDate(j.cfg.Log) {
		first, next := j.cfg.Log.Bounds()
		for r, err := range Scan(ctx, j, max(d.through+1, first), next) {
			if err == nil {
				err = d.change(changes, r)
			}
			if err == nil && len(changes) >= deadChanges {
				if err = j.applyDead(ctx, changes); err == nil {
					d.reached(r.Number)
				}
			}
			if err != nil {
				return err
			}
		}
		if err := j.applyDead(ctx, changes); err != nil {
			return err
		}
		d.reached(next - 1)
	}
	d.old = nil
	if len(lost) > 0 {
		return j.endRebuild(ctx)
	}
	return nil
}

// lostDead returns the keys of the table that the state has lost to damage, as far as its engine knows.
func (j *Journal) lostDead() []string {
	state, ok := j.cfg.State.(interface{ Damaged() []string })
	if !ok {
		return nil
	}
	return slices.DeleteFunc(state.Damaged(), func(key string) bool { return key != derivedKey && !strings.HasPrefix(key, deadPrefix) })
}

// endRebuild deletes the keys that are lost in both the state and the log.
func (j *Journal) endRebuild(ctx context.Context) error {
	if err := j.noteDerived(ctx); err != nil {
		return err
	}
	for _, key := range j.lostDead() {
		if key == derivedKey {
			continue
		}
		if number, err := deadNumber(key); err == nil {
			if r, err := j.Get(ctx, number); err == nil && r.Kind == Dead { // it was added meanwhile
				continue
			}
			j.cfg.Logger.Error().Uint64("number", number).
				Msg("a dead letter is lost: both its entry in the journal and what the state knew of it are damaged; its event is in the journal, see relay history")
		}
		if err := j.cfg.State.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (t *deadTable) setBusy(busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = busy
}

func (t *deadTable) reached(number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.through = max(t.through, number)
}

// upToDate reports whether the table covers the whole log. If so, [deadTable.note] continues from there.
func (t *deadTable) upToDate(log Log) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, next := log.Bounds()
	t.busy = next > t.through+1
	return !t.busy
}

// change adds the effect of a record on the table to changes: the new value of a number, or nil to delete it.
func (t *deadTable) change(changes map[uint64][]byte, r *Record) error {
	if _, known := t.old[r.Number]; known && r.Kind != Dead { // the table held it as a dead letter
		changes[r.Number] = nil
	}
	switch {
	case r.Kind == Dead:
		value, err := pipeline.EncodeJSON(tableEntry(r))
		if err != nil {
			return err
		}
		changes[r.Number] = value
	case affectsDead(&r.Entry):
		changes[r.Ref] = nil
	}
	return nil
}

// applyDead writes changes to the table and clears them. It writes concurrently, since an engine may make writes
// durable together.
func (j *Journal) applyDead(ctx context.Context, changes map[uint64][]byte) error {
	var writers sync.WaitGroup
	var mu sync.Mutex
	var errs error
	slots := make(chan struct{}, deadWriters)
	for number, value := range changes {
		slots <- struct{}{}
		writers.Go(func() {
			defer func() { <-slots }()
			if err := j.applyOne(ctx, deadKey(number), value); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = fmt.Errorf("dead letter %d: %w", number, err)
			}
		})
	}
	writers.Wait()
	if errs != nil {
		return errs
	}
	clear(changes)
	return nil
}

// applyOne puts a value, or deletes the key if value is nil. It skips a write that changes nothing, since reading is
// cheaper.
func (j *Journal) applyOne(ctx context.Context, key string, value []byte) error {
	old, _, err := j.cfg.State.Get(ctx, key)
	switch {
	case errors.Is(err, ErrNoKey) && value == nil, err == nil && value != nil && bytes.Equal(old, value):
		return nil
	case err != nil && !errors.Is(err, ErrNoKey) && !errors.Is(err, ErrDamagedValue):
		return err
	case value == nil:
		return j.cfg.State.Delete(ctx, key)
	}
	_, err = j.cfg.State.Put(ctx, key, value, AnyRevision)
	return err
}

func tableEntry(r *Record) deadEntry {
	e := deadEntry{Sink: r.Sink, Account: r.Account, ID: r.EventID, Seq: r.Ref, Time: r.Time}
	var letter DeadLetter
	if json.Unmarshal(r.Data, &letter) == nil {
		e.Attempts, e.Reason = letter.Attempts, letter.Reason
		if len(e.Reason) > deadReason {
			e.Reason = strings.ToValidUTF8(e.Reason[:deadReason], "")
		}
	}
	return e
}

// loadDead reads how far the table covers the log. If that or part of the table is unreadable, the table is rebuilt
// from the whole log. It also removes letters that retention has dropped from the log.
func (j *Journal) loadDead(ctx context.Context, intact bool) error {
	through, ok, err := j.derivedThrough(ctx)
	if err != nil {
		return err
	}
	first, next := j.cfg.Log.Bounds()
	intact = intact && ok && through < next
	listed := make(map[uint64]struct{})
	var gone []string
	err = j.cfg.State.List(ctx, deadPrefix, func(key string, value []byte) error {
		if number, err := deadNumber(key); err == nil && number >= first {
			listed[number] = struct{}{}
			intact = intact && json.Valid(value)
		} else {
			gone = append(gone, key)
		}
		return nil
	})
	if errors.Is(err, ErrDamagedValue) {
		intact, err = false, nil
	}
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := j.cfg.State.Delete(ctx, key); err != nil {
			return err
		}
	}
	d := &j.dead
	d.mu.Lock()
	defer d.mu.Unlock()
	d.through, d.noted, d.old = 0, 0, listed
	if intact {
		d.through, d.noted, d.old = through, through, nil
	}
	return nil
}

// derivedThrough returns how far the table covers the log according to the state. It reports false if that is
// unreadable.
func (j *Journal) derivedThrough(ctx context.Context) (through uint64, ok bool, err error) {
	value, _, err := j.cfg.State.Get(ctx, derivedKey)
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrDamagedValue) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var state derivedState
	ok = json.Unmarshal(value, &state) == nil
	return state.Through, ok, nil
}

// noteDerived stores in the state how far the table covers the log.
func (j *Journal) noteDerived(ctx context.Context) error {
	d := &j.dead
	d.mu.Lock()
	through, noted := d.through, d.noted
	d.mu.Unlock()
	if through == noted && through > 0 {
		return nil
	}
	value, err := pipeline.EncodeJSON(derivedState{through})
	if err == nil {
		_, err = j.cfg.State.Put(ctx, derivedKey, value, AnyRevision)
	}
	if err != nil {
		return fmt.Errorf("store the progress of the dead letters: %w", err)
	}
	d.mu.Lock()
	d.noted = through
	d.mu.Unlock()
	return nil
}
