package digests

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// backStep is how many numbers of the journal are read at once on the way back from the end.
const backStep = 8 << 10

// List returns the digests that match, oldest first. It reads the journal backwards from the end, or from f.Until, until it
// has the newest ones.
func (r *Reader) List(ctx context.Context, f Filter) ([]Digest, error) {
	from, until := r.journal.Bounds()
	if len(r.sinks) == 0 {
		return nil, nil
	}
	if !f.Since.IsZero() {
		since, err := r.journal.SeekTime(ctx, f.Since)
		if err != nil {
			return nil, err
		}
		from = max(from, since)
	}
	var found []Digest // newest first
	for from < until && (f.Newest == 0 || len(found) < f.Newest) {
		begin := from
		if until-from > backStep {
			begin = until - backStep
		}
		some, err := r.between(ctx, begin, until, &f)
		if err != nil {
			return nil, fmt.Errorf("read the digests of the journal: %w", err)
		}
		slices.Reverse(some)
		found, until = append(found, some...), begin
	}
	if f.Newest > 0 {
		found = found[:min(len(found), f.Newest)]
	}
	slices.Reverse(found)
	return found, r.addDeliveries(ctx, found, f.Sinks)
}

// between returns the digests of the batches with numbers from from up to, but not including, until.
func (r *Reader) between(ctx context.Context, from, until uint64, f *Filter) (found []Digest, err error) {
	for record, err := range journal.Scan(ctx, r.journal, from, until) {
		if err != nil {
			return nil, err
		}
		batch, ok := batchOf(record)
		if !ok || !oneOf(f.Accounts, batch.Account) || record.Time.Before(f.Since) || !f.Until.IsZero() && !record.Time.Before(f.Until) {
			continue
		}
		for _, s := range r.sinks {
			if !oneOf(f.Sinks, s.name) || !s.rules.Wants(record) {
				continue
			}
			d, ok, err := s.digest(ctx, record, batch)
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

func oneOf(wanted []string, value string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, value)
}

// addDeliveries sets the delivery of each digest. They are sorted by time.
func (r *Reader) addDeliveries(ctx context.Context, all []Digest, sinks []string) error {
	if len(all) == 0 {
		return nil
	}
	byID, ids := make(map[string]*Digest, len(all)), make([]string, 0, len(all))
	for i := range all {
		byID[all[i].ID], ids = &all[i], append(ids, all[i].ID)
	}
	accepted := make(map[string]bool)
	attempts := journal.AttemptFilter{Sinks: sinks, Digests: true, Since: all[0].Time.Add(-clockSkew)}
	for a, err := range r.journal.Attempts().Select(ctx, attempts, 0) {
		if err != nil {
			return err
		}
		for _, id := range a.Events {
			if d := byID[id]; d != nil && d.Sink == a.Sink {
				d.Attempts, d.Latest, d.Reason = d.Attempts+1, a.Time, a.Error
				accepted[id] = accepted[id] || a.Error == ""
			}
		}
	}
	for letter, err := range r.journal.DeadLetters(ctx, journal.DeadLetterFilter{IDs: ids}) {
		if err != nil {
			return err
		}
		if d := byID[letter.ID]; d != nil && d.Sink == letter.Sink {
			d.DeadLetter, d.Reason = letter.Number, cmp.Or(d.Reason, letter.Reason)
		}
	}
	for _, s := range r.sinks {
		for i := range all {
			if all[i].Sink == s.name {
				all[i].State = s.state(&all[i], accepted[all[i].ID])
			}
		}
	}
	return nil
}

// clockSkew is how much earlier than its batch an attempt may seem to be, if the clock was set back.
const clockSkew = 24 * time.Hour

// state returns the state of a digest. A cursor and the log of attempts may each be a moment behind the other.
func (s *sink) state(d *Digest, accepted bool) State {
	switch {
	case accepted:
		return Delivered
	case d.DeadLetter != 0:
		return Refused
	case d.Number >= s.cursor.Next || cursor.Numbers(s.cursor.Open).Contains(d.Number):
		return Waiting
	case d.Attempts > 0:
		return GivenUp
	}
	return Delivered // before the log of attempts begins
}
