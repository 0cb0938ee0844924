package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// DeadLetter is an event that a sink refused for good. It is the data of a Dead entry.
type DeadLetter struct {
	// Number is its own number in the journal, which identifies it. It is not part of the stored data.
	Number   uint64          `json:"number,omitempty"`
	Sink     string          `json:"sink"`
	Reason   string          `json:"reason"`
	Attempts int             `json:"attempts"`
	Time     time.Time       `json:"time"` // when the sink refused it
	ID       string          `json:"id"`   // of the event
	Seq      uint64          `json:"seq"`  // of the event in the journal
	Account  string          `json:"account,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Origin   pipeline.Origin `json:"origin,omitempty"`
	Type     string          `json:"type,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"` // absent if it is too large, or if the entry in the journal is damaged
}

// KeepDeadLetter journals an event that a sink refused as a dead letter. It returns once that is on disk. A repeated
// call for the same record has no effect.
func (j *Journal) KeepDeadLetter(ctx context.Context, sink, reason string, attempts int, r pipeline.Record) error {
	letter := DeadLetter{
		Sink: sink, Reason: reason, Attempts: attempts, Time: time.Now().UTC(), ID: r.ID, Seq: r.Seq,
		Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: r.Type, Event: json.RawMessage(r.Line),
	}
	e := Entry{
		// Keyed by number, not by event: an event that is sent again and refused again makes another dead letter.
		Kind: Dead, ID: "dead_" + sink + "_" + strconv.FormatUint(r.Seq, 10), Ref: r.Seq, Sink: sink, EventID: r.ID,
		Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: storedType(r.Type),
	}
	var err error
	if e.Data, err = pipeline.EncodeJSON(letter); err == nil && !Fits(&e) {
		letter.Event = nil
		e.Data, err = pipeline.EncodeJSON(letter)
	}
	if err != nil {
		return fmt.Errorf("encode a dead letter: %w", err)
	}
	if _, err = j.Put(ctx, e); err != nil {
		return fmt.Errorf("store event %s as a dead letter of sink %s: %w", r.ID, sink, err)
	}
	return nil
}

// DeadLetterFilter selects dead letters. An empty or zero field selects all. IDs and Numbers are alternatives.
type DeadLetterFilter struct {
	Sinks    []string
	Accounts []string
	IDs      []string // of the events
	Numbers  []uint64 // of the dead letters
	Since    time.Time
	Until    time.Time // exclusive
	Reason   string    // a substring of the reason, ignoring case
}

func (f *DeadLetterFilter) matches(d *DeadLetter) bool {
	return f.mayMatch(d.Number, d.Sink, d.Account, d.ID) &&
		!d.Time.Before(f.Since) && (f.Until.IsZero() || d.Time.Before(f.Until)) &&
		strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Reason))
}

// mayMatch checks the fields that are in the table as well as in the letter.
func (f *DeadLetterFilter) mayMatch(number uint64, sink, account, id string) bool {
	among := func(list []string, one string) bool { return len(list) == 0 || slices.Contains(list, one) }
	return among(f.Sinks, sink) && among(f.Accounts, account) &&
		(len(f.IDs)+len(f.Numbers) == 0 || slices.Contains(f.IDs, id) || slices.Contains(f.Numbers, number))
}

// DeadLetters yields the matching dead letters, oldest first, up to the newest one at the time of the call. A letter
// whose entry is damaged is yielded with the fields known from the table. An error ends the sequence. Memory is
// bounded.
func (j *Journal) DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		numbers, err := j.deadNumbers(ctx, &f)
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("read the dead letters: %w", err))
			return
		}
		for _, number := range numbers {
			letter, ok, err := j.deadLetter(ctx, number)
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("read dead letter %d: %w", number, err))
				return
			}
			if ok && f.matches(&letter) && !yield(letter, nil) {
				return
			}
		}
	}
}

// deadNumbers returns the numbers of the dead letters that may match.
func (j *Journal) deadNumbers(ctx context.Context, f *DeadLetterFilter) (numbers []uint64, err error) {
	err = j.listDead(ctx, func(number uint64, value []byte) {
		var e deadEntry
		if json.Unmarshal(value, &e) != nil || f.mayMatch(number, e.Sink, e.Account, e.ID) {
			numbers = append(numbers, number)
		}
	})
	return numbers, err
}

// listDead updates the table and calls visit with each of its dead letters, in order.
func (j *Journal) listDead(ctx context.Context, visit func(number uint64, value []byte)) error {
	if err := j.derive(ctx); err != nil {
		return err
	}
	return j.cfg.State.List(ctx, deadPrefix, func(key string, value []byte) error {
		if number, err := deadNumber(key); err == nil {
			visit(number, value)
		}
		return nil
	})
}

// deadLetter reads a dead letter. It reports false if it was deleted meanwhile or dropped by age.
func (j *Journal) deadLetter(ctx context.Context, number uint64) (letter DeadLetter, ok bool, err error) {
	r, err := j.Get(ctx, number)
	if err != nil && !errors.Is(err, ErrNotHeld) {
		return letter, false, err
	}
	if err == nil && r.Kind == Dead && json.Unmarshal(r.Data, &letter) == nil {
		letter.Number = number
		return letter, true, nil
	}
	if first, _ := j.Bounds(); number < first {
		return letter, false, nil
	}
	value, _, err := j.cfg.State.Get(ctx, deadKey(number))
	if errors.Is(err, ErrNoKey) {
		return letter, false, nil
	}
	var e deadEntry
	if err == nil {
		err = json.Unmarshal(value, &e)
	}
	if err != nil {
		return letter, false, err
	}
	reason := e.Reason
	if reason == "" {
		reason = "not known: its entry in the journal is damaged"
	}
	return DeadLetter{
		Number: number, Sink: e.Sink, Reason: reason, Attempts: e.Attempts, Time: e.Time, ID: e.ID, Seq: e.Seq, Account: e.Account,
	}, true, nil
}

// DeadLetterCounts returns how many dead letters each sink has.
func (j *Journal) DeadLetterCounts(ctx context.Context) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	err := j.listDead(ctx, func(_ uint64, value []byte) { counts[deadSink(value)]++ })
	if err != nil {
		return nil, fmt.Errorf("count the dead letters: %w", err)
	}
	return counts, nil
}

// deadSink returns the sink in a value of the table. It avoids decoding the usual form.
func deadSink(value []byte) string {
	if rest, ok := bytes.CutPrefix(value, []byte(`{"sink":"`)); ok {
		if end := bytes.IndexByte(rest, '"'); end >= 0 && bytes.IndexByte(rest[:end], '\\') < 0 {
			return string(rest[:end])
		}
	}
	var e deadEntry
	if json.Unmarshal(value, &e) != nil {
		return ""
	}
	return e.Sink
}

// ErrEventGone means that neither the dead letter nor the journal holds the event any more.
var ErrEventGone = errors.New("the journal does not hold the event any more")

// DeadEvent returns the event of a dead letter, which it reads from the journal if the letter lacks it. If that is gone
// too, the error is [ErrEventGone].
func (j *Journal) DeadEvent(ctx context.Context, d DeadLetter) (pipeline.Record, error) {
	if len(d.Event) > 0 {
		return pipeline.Record{
			Seq: d.Seq, ID: d.ID, Account: d.Account, Provider: d.Provider, Origin: d.Origin, Type: d.Type, Line: d.Event,
		}, nil
	}
	r, err := j.Get(ctx, d.Seq)
	if errors.Is(err, ErrNotHeld) {
		return pipeline.Record{}, ErrEventGone
	}
	if err != nil {
		return pipeline.Record{}, err
	}
	event := r.Delivery()
	if (r.Kind != Treat && r.Kind != Resend) || event.ID != d.ID {
		return pipeline.Record{}, ErrEventGone // the number belongs to another entry, or to a digest, which is not in the journal
	}
	return event, nil
}

// redriveID is the prefix of the id of an entry that redrives a dead letter. The number of the dead letter follows.
const redriveID = "resend_dead_"

// Redrive sends the event of a dead letter to its sink again, with the same id, and deletes the dead letter. Both
// happen atomically, in one entry. If the dead letter is gone already, it does nothing and returns nil.
func (j *Journal) Redrive(ctx context.Context, d DeadLetter) error {
	there, err := j.deadExists(ctx, d.Number)
	if err == nil && there {
		var r pipeline.Record
		if r, err = j.DeadEvent(ctx, d); err == nil {
			e := resendEntry(d.Sink, &r, redriveID+strconv.FormatUint(d.Number, 10))
			e.Ref = d.Number
			_, err = j.Put(ctx, e)
		}
	}
	if err != nil {
		return fmt.Errorf("redrive dead letter %d: %w", d.Number, err)
	}
	return nil
}

// DeleteDeadLetter deletes a dead letter. If it is gone already, it returns nil.
func (j *Journal) DeleteDeadLetter(ctx context.Context, d DeadLetter) error {
	there, err := j.deadExists(ctx, d.Number)
	if err == nil && there {
		_, err = j.Put(ctx, Entry{
			Kind: Purge, ID: "purge_dead_" + strconv.FormatUint(d.Number, 10), Ref: d.Number, Sink: d.Sink, EventID: d.ID, Account: d.Account,
		})
	}
	if err != nil {
		return fmt.Errorf("delete dead letter %d: %w", d.Number, err)
	}
	return nil
}

// deadExists reports whether a dead letter was neither redriven nor deleted.
func (j *Journal) deadExists(ctx context.Context, number uint64) (bool, error) {
	if err := j.derive(ctx); err != nil {
		return false, err
	}
	_, _, err := j.cfg.State.Get(ctx, deadKey(number))
	if errors.Is(err, ErrNoKey) {
		return false, nil
	}
	return err == nil || errors.Is(err, ErrDamagedValue), ignoreDamage(err)
}

func ignoreDamage(err error) error {
	if errors.Is(err, ErrDamagedValue) {
		return nil
	}
	return err
}
