package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A baseline is what an account's history held of the time before a moment, when relay first read it: treats that are never delivered from
// there. The moment is in the state of the journal before the account's source connects, with no treats yet. These are in the journal before they
// count, and are dropped together with the events of their time; an entry behind them says that they are whole, from which the baseline is
// restored when the state has lost it.
//
// It is one channel's. Another login may be of another channel, which then has a baseline of its own, beside the earlier ones.
type baseline struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Known   int       `json:"known"`   // how many treats it has
	Records int       `json:"records"` // how many different ones; pendingRecords: nothing was compared yet
	// Retention is the journal's, as it was when last looked at, and Floor the time before which a journal that was kept for a
	// shorter time has dropped events that the history may still hold.
	Retention time.Duration `json:"retention"`
	Floor     time.Time     `json:"floor,omitzero"`
	// Moment is the account's first login or start. Zero: an older relay made it, or all of the history was to be delivered.
	Moment   time.Time `json:"moment,omitzero"`
	Local    bool      `json:"local,omitempty"`    // Moment is of the clock of this machine
	Login    string    `json:"login,omitempty"`    // the ID of the one with which a reply was compared last
	Changed  time.Time `json:"changed,omitzero"`   // when there was another login, of which nothing is known yet
	Channels []string  `json:"channels,omitempty"` // that the account has had
	Earlier  []string  `json:"earlier,omitempty"`  // the ids of the baselines before, which are of other channels
}

// tags are how the index says that a treat is of one of the baselines.
func (b *baseline) tags() map[uint16]bool {
	tags := map[uint16]bool{index.BaselineTag(b.ID): true}
	for _, id := range b.Earlier {
		tags[index.BaselineTag(id)] = true
	}
	return tags
}

// newBaseline makes one without treats.
func newBaseline(retention time.Duration) *baseline {
	return &baseline{ID: index.NewBaselineID(rand.Uint64()), Made: time.Now().UTC(), Retention: retention} //nolint:gosec // it guards nothing
}

// readBaseline returns that of the account, or nil if there is none yet. login is the present one.
func (in *Intake) readBaseline(ctx context.Context, login Login) (*baseline, error) {
	value, _, err := in.journal.State().Get(ctx, journal.HistoryKey(in.norm.Account))
	var b baseline
	if err == nil {
		if err = json.Unmarshal(value, &b); err == nil {
			return &b, nil
		}
		err = fmt.Errorf("%w: %w", journal.ErrDamagedValue, err)
	}
	damaged := errors.Is(err, journal.ErrDamagedValue)
	if !damaged && !errors.Is(err, journal.ErrNoKey) {
		return nil, fmt.Errorf("read the baseline of %s: %w", in.norm.Account, err)
	}
	found, restoring := in.restored(ctx, login)
	if found == nil && damaged {
		in.log.Error().Err(err).Msg("what was known of the history is lost from the journal's state: what it holds now is known from now on and not delivered")
	}
	return found, restoring
}

func (in *Intake) putBaseline(ctx context.Context, b *baseline) error {
	data, err := pipeline.EncodeJSON(b)
	if err == nil {
		_, err = in.journal.State().Put(ctx, journal.HistoryKey(in.norm.Account), data, journal.AnyRevision)
	}
	if err != nil {
		return fmt.Errorf("keep the baseline of %s: %w", in.norm.Account, err)
	}
	return nil
}

// knownBatch is how many different treats of a baseline are in one entry.
const knownBatch = 4096

// writeKnown makes the treats of a baseline durable, and then the baseline itself, with which they count.
func (in *Intake) writeKnown(ctx context.Context, b *baseline, treats []history.Treat) error {
	counts := make(map[repeatKey]uint32, len(treats))
	for i := range treats {
		counts[keyOf(&treats[i].Fingerprint)]++
	}
	b.Known, b.Records = len(treats), len(counts)
	var entries []journal.Entry
	var batch []index.KnownTreat
	flush := func() {
		entries = append(entries, index.KnownEntry(in.norm.Account, in.norm.Provider, b.ID, len(entries), batch))
		batch = batch[:0]
	}
	for i := range treats {
		f := &treats[i].Fingerprint
		key := keyOf(f)
		n, ok := counts[key]
		if !ok {
			continue
		}
		delete(counts, key)
		if batch = append(batch, index.KnownTreat{Fingerprint: *f, Count: n}); len(batch) == knownBatch {
			flush()
		}
	}
	if len(batch) > 0 {
		flush()
	}
	entries = append(entries, index.BaselineEntry(in.norm.Account, in.norm.Provider, b.ID, b.Records))
	if _, err := in.journal.Put(ctx, entries...); err != nil {
		return fmt.Errorf("journal the baseline of %s: %w", in.norm.Account, err)
	}
	return in.putBaseline(ctx, b)
}

// span returns from when on the journal holds every event that it took, apart from those of a time when it was kept for less.
func (in *Intake) span(ctx context.Context, now time.Time) (since time.Time, retention time.Duration, err error) {
	j := in.journal
	retention = j.Retention()
	since = reach(now, retention)
	first, next := j.Bounds()
	if first <= 1 || first >= next {
		return since, retention, nil
	}
	records, err := j.Read(ctx, first, 1)
	if err != nil {
		return since, 0, err
	}
	if len(records) == 0 || !records[0].Time.After(since) {
		return since, retention, nil
	}
	gaps, err := j.Gaps(ctx)
	if err != nil {
		return since, 0, fmt.Errorf("read what the journal has lost: %w", err)
	}
	for _, g := range gaps {
		if g.First <= records[0].Number && g.Last+1 >= first {
			return since, retention, nil // what came before is lost, not dropped: that is to be made good
		}
	}
	return records[0].Time, retention, nil // it is bounded by size as well
}

// reach is how far back a journal that is kept for the given time is compared: a seventh of it is left out, 5 of 35 days, for the
// date of a treat is not the time of its receipt.
func reach(now time.Time, retention time.Duration) time.Time {
	if retention <= 0 {
		return time.Time{}
	}
	return now.Add(-retention + retention/7)
}
