// Package digests reads the digests of missed treats that sinks get: which there are, the treats that each counts, and the
// state of its delivery. It only reads.
//
// Start at [Open] and [Reader.List].
package digests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
)

// ErrUnknown means that no sink gets a digest of that id, or that the journal no longer holds what it is made of.
var ErrUnknown = errors.New("unknown digest")

// Digest is the digest that one sink gets of one [journal.BackfillBatch].
type Digest struct {
	ID       string
	Sink     string
	Account  string
	Provider string
	Number   uint64    // of the batch in the journal
	Time     time.Time // when the batch was journaled
	Count    int       // treats that it counts, at least 1
	First    time.Time // when the earliest of them was sent
	Last     time.Time // when the latest was sent
	Delivery
}

// Delivery is what has become of a digest.
type Delivery struct {
	State      State
	Attempts   int
	Latest     time.Time // of the attempts; zero: there was none
	Reason     string    // why the latest attempt failed; empty: it did not
	DeadLetter uint64    // the number of its dead letter; 0: there is none
}

// State is the state of a digest's delivery.
type State string

// The states.
const (
	Waiting   State = "waiting"     // for its first attempt, or for the next one
	Delivered State = "delivered"   // the sink has accepted it
	Refused   State = "dead_letter" // it is a dead letter
	GivenUp   State = "given_up"    // it was a dead letter, and that was deleted, or redriven and not accepted yet
)

// Filter selects digests. An empty or zero field selects all.
type Filter struct {
	Sinks    []string
	Accounts []string
	Since    time.Time // by the time of the batch, inclusive
	Until    time.Time // exclusive
	Newest   int       // only the newest of this number; 0: all
}

// Reader reads the digests of several sinks. It is for one goroutine. It knows the sinks as they were at [Open].
type Reader struct {
	journal *journal.Journal
	sinks   []sink // by name
}

// sink is a sink that gets digests.
type sink struct {
	name     string
	rules    *rules.Rules
	digester *rules.Digester
	cursor   journal.Cursor
}

// Open returns a reader of the digests of these sinks. The rules that decide what a digest counts are the given ones: if
// they have changed since a digest was made, its count is that of the new rules.
func Open(ctx context.Context, j *journal.Journal, selections map[string]rules.Selection) (*Reader, error) {
	cursors, err := j.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{journal: j}
	for _, name := range slices.Sorted(maps.Keys(selections)) {
		s := sink{name: name, rules: rules.New(selections[name], nil, zerolog.Nop()), cursor: cursors[name]}
		if err := s.rules.Load(ctx, j, name); err != nil {
			return nil, err
		}
		if !s.rules.MakesDigests() {
			continue
		}
		s.digester = rules.NewDigester(j, name, s.rules, cursor.Numbers(s.cursor.Missing).Contains, zerolog.Nop())
		r.sinks = append(r.sinks, s)
	}
	return r, nil
}

// Find returns the digest with an id. If there is none, the error is [ErrUnknown].
func (r *Reader) Find(ctx context.Context, id string) (Digest, error) {
	d, _, _, err := r.find(ctx, id)
	if err != nil {
		return d, err
	}
	all := []Digest{d}
	err = r.addDeliveries(ctx, all, nil)
	return all[0], err
}

// Treats yields the treats that a digest counts, in the order of the journal. An error ends the sequence; it is
// [ErrUnknown] if there is no such digest.
func (r *Reader) Treats(ctx context.Context, id string) iter.Seq2[*journal.Record, error] {
	return func(yield func(*journal.Record, error) bool) {
		_, s, batch, err := r.find(ctx, id)
		if err != nil {
			yield(nil, err)
			return
		}
		for one, err := range s.digester.Treats(ctx, batch) {
			if !yield(one, err) {
				return
			}
		}
	}
}

// find finds a digest by the time in its id, which is that of its batch.
func (r *Reader) find(ctx context.Context, id string) (d Digest, of sink, batch journal.BackfillBatch, err error) {
	at, ok := pipeline.TimeOfID(id)
	if !ok {
		return d, of, batch, fmt.Errorf("%w %s", ErrUnknown, id)
	}
	from, err := r.journal.SeekTime(ctx, at)
	if err != nil {
		return d, of, batch, err
	}
	_, until := r.journal.Bounds()
	for record, err := range journal.Scan(ctx, r.journal, from, until) {
		if err != nil {
			return d, of, batch, err
		}
		if record.Time.After(at.Add(time.Millisecond)) {
			break
		}
		batch, ok := batchOf(record)
		if !ok {
			continue
		}
		for _, s := range r.sinks {
			if journal.DigestID(record.Time, s.name, batch) != id || !s.rules.Wants(record) {
				continue
			}
			d, ok, err := s.digest(ctx, record, batch)
			if err != nil || ok {
				return d, s, batch, err
			}
		}
	}
	return d, of, batch, fmt.Errorf("%w %s: the journal does not hold its treats, or no sink gets it", ErrUnknown, id)
}

// batchOf decodes a backfill batch. ok is false for other entries, and for one that is unreadable.
func batchOf(r *journal.Record) (batch journal.BackfillBatch, ok bool) {
	return batch, r.Kind == journal.Backfill && json.Unmarshal(r.Data, &batch) == nil
}

// digest returns the sink's digest of a batch, without its delivery. ok is false if it counts no treat: then the sink gets none.
func (s *sink) digest(ctx context.Context, r *journal.Record, batch journal.BackfillBatch) (d Digest, ok bool, err error) {
	d = Digest{
		ID: journal.DigestID(r.Time, s.name, batch), Sink: s.name, Account: batch.Account, Provider: batch.Provider, Number: r.Number, Time: r.Time,
	}
	for treat, err := range s.digester.Treats(ctx, batch) {
		if err != nil {
			return d, false, fmt.Errorf("read the treats of digest %s: %w", d.ID, err)
		}
		at, err := journal.EventTime(treat.Data)
		if err != nil {
			continue // no digest counts it
		}
		if d.Count++; d.Count == 1 || at.Before(d.First) {
			d.First = at
		}
		if at.After(d.Last) {
			d.Last = at
		}
	}
	return d, d.Count > 0, nil
}
