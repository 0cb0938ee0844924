package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// derived is how far the keys of the state that are derived from the log are up to date: the table of dead letters.
type derived struct {
	mu      sync.Mutex
	through uint64
	kept    uint64 // what the state says of it
	loaded  bool
}

// derivedMark is the value of derivedKey.
type derivedState struct {
	Through uint64 `json:"through"`
}

// deadEntry is what the table holds of a dead letter. The rest is in the log.
type deadEntry struct {
	Sink    string    `json:"sink"`
	Account string    `json:"account,omitempty"`
	ID      string    `json:"id"` // of the event
	Time    time.Time `json:"time"`
}

// keepEvery is after how many numbers it is noted in the state that there was nothing to derive.
const keepEvery = 16 << 10

func deadKey(number uint64) string { return fmt.Sprintf("%s%020d", deadPrefix, number) }

func affectsDerived(e *Entry) bool { return e.Kind == Dead || e.Kind == Purge || e.Kind == Resend && e.Ref != 0 }

// derive brings the table of dead letters up to date with the log.
func (j *Journal) derive(ctx context.Context) error {
	d := &j.derived
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		if err := j.loadDerived(ctx); err != nil {
			return fmt.Errorf("derive the dead letters from the journal: %w", err)
		}
		d.loaded = true
	}
	first, next := j.log.Bounds()
	for at := max(d.through+1, first); at < next; {
		records, err := j.Read(ctx, at, maxBatch)
		if err != nil {
			return fmt.Errorf("derive the dead letters from the journal: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			if err := j.deriveOne(ctx, &records[i]); err != nil {
				return err
			}
		}
		at = records[len(records)-1].Number + 1
		d.through = at - 1
	}
	if d.through != d.kept && (d.through-d.kept >= keepEvery) {
		return j.keepDerived(ctx)
	}
	return nil
}

func (j *Journal) deriveOne(ctx context.Context, r *Record) error {
	var err error
	switch {
	case r.Kind == Dead:
		var value []byte
		if value, err = pipeline.EncodeJSON(deadEntry{Sink: r.Sink, Account: r.Account, ID: r.EventID, Time: r.Time}); err == nil {
			_, err = j.state.Put(ctx, deadKey(r.Number), value, AnyRevision)
		}
	case affectsDerived(&r.Entry):
		err = j.state.Delete(ctx, deadKey(r.Ref))
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("derive the dead letters from number %d of the journal: %w", r.Number, err)
	}
	return nil
}

// loadDerived reads how far the table is up to date. If that, or a part of the table, is not readable, it is made from the whole log.
func (j *Journal) loadDerived(ctx context.Context) error {
	value, _, err := j.state.Get(ctx, derivedKey)
	var kept derivedState
	switch {
	case err == nil:
		err = json.Unmarshal(value, &kept)
	case errors.Is(err, ErrNoKey):
		err = nil
	}
	first, next := j.log.Bounds()
	whole := err == nil && kept.Through < next
	if err != nil && !errors.Is(err, ErrDamagedValue) && !isSyntax(err) {
		return err
	}
	var gone []string
	listErr := j.state.List(ctx, deadPrefix, func(key string, value []byte) error {
		var e deadEntry
		number, err := strconv.ParseUint(strings.TrimPrefix(key, deadPrefix), 10, 64)
		if err != nil || json.Unmarshal(value, &e) != nil {
			whole = false
		}
		if err != nil || number < first {
			gone = append(gone, key) // dropped by age
		}
		return nil
	})
	if errors.Is(listErr, ErrDamagedValue) {
		whole, listErr = false, nil
	}
	if listErr != nil {
		return listErr
	}
	if damaged, ok := j.state.(interface{ Damaged() []string }); ok {
		for _, key := range damaged.Damaged() {
			whole = whole && key != derivedKey && !strings.HasPrefix(key, deadPrefix)
		}
	}
	for _, key := range gone {
		if err := j.state.Delete(ctx, key); err != nil {
			return err
		}
	}
	if whole {
		j.derived.through, j.derived.kept = kept.Through, kept.Through
	}
	return nil
}

func isSyntax(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, typ := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || typ
}

// keepDerived notes in the state how far the table is up to date.
func (j *Journal) keepDerived(ctx context.Context) error {
	value, err := pipeline.EncodeJSON(derivedState{j.derived.through})
	if err == nil {
		_, err = j.state.Put(ctx, derivedKey, value, AnyRevision)
	}
	if err != nil {
		return fmt.Errorf("note how far the dead letters are derived: %w", err)
	}
	j.derived.kept = j.derived.through
	return nil
}
