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

// A baseline is what an account's history held before a cutoff, the moment when relay first read it. Those treats are
// never backfilled. The cutoff is stored in the state before the account's source connects. The treats are journaled
// before they take effect, and expire together with events of the same time. A final entry marks them as complete; from
// it the baseline is restored if the state is lost.
//
// A baseline belongs to one channel. If the account logs in to another channel, that one gets its own baseline, in
// addition to the earlier ones.
type baseline struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Known   int       `json:"known"`   // number of treats
	Records int       `json:"records"` // number of distinct treats; pendingRecords: no comparison yet
	// Retention is the retention of the journal when last checked. A journal that was kept for a shorter time before
	// has dropped events before Floor that the history may still hold.
	Retention time.Duration `json:"retention"`
	Floor     time.Time     `json:"floor,omitzero"`
	// Cutoff is the time of the account's first login or start. Zero: made by an older version, or all history is to be
	// delivered.
	Cutoff   time.Time `json:"moment,omitzero"`
	Local    bool      `json:"local,omitempty"`    // Cutoff was taken from this machine's clock
	Login    string    `json:"login,omitempty"`    // ID of the login whose reply was compared last
	Changed  time.Time `json:"changed,omitzero"`   // when the login changed to one not yet compared
	Channels []string  `json:"channels,omitempty"` // all channels the account has had
	Earlier  []string  `json:"earlier,omitempty"`  // ids of the previous baselines, of other channels
}

// tags returns the index tags of this baseline and the earlier ones.
func (b *baseline) tags() map[uint16]bool {
	tags := map[uint16]bool{index.BaselineTag(b.ID): true}
	for _, id := range b.Earlier {
		tags[index.BaselineTag(id)] = true
	}
	return tags
}

// newBaseline returns a baseline without treats.
func newBaseline(retention time.Duration) *baseline {
	return &baseline{ID: index.NewBaselineID(rand.Uint64()), Made: time.Now().UTC(), Retention: retention} //nolint:gosec // not a secret
}

// readBaseline returns the account's baseline, or nil if there is none yet. login is the current login.
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
	found, restoring := in.restoreBaseline(ctx, login)
	if found == nil && damaged {
		in.log.Error().Err(err).Msg("baseline of the history is lost from the journal's state: what the history holds now counts as known and is not delivered")
	}
	return found, restoring
}

func (in *Intake) putBaseline(ctx context.Context, b *baseline) error {
	data, err := pipeline.EncodeJSON(b)
	if err == nil {
		_, err = in.journal.State().Put(ctx, journal.HistoryKey(in.norm.Account), data, journal.AnyRevision)
	}
	if err != nil {
		return fmt.Errorf("store the baseline of %s: %w", in.norm.Account, err)
	}
	return nil
}

// knownBatch is the number of distinct treats in one entry of a baseline.
const knownBatch = 4096

// writeKnown makes the treats of a baseline durable and then the baseline itself, which puts them into effect.
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

// journalSince returns the time since when the journal holds every event it accepted, except for times of a shorter retention.
func (in *Intake) journalSince(ctx context.Context, now time.Time) (since time.Time, retention time.Duration, err error) {
	j := in.journal
	retention = j.Retention()
	since = comparableSince(now, retention)
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
			return since, retention, nil // earlier events are lost, not dropped: they are to be backfilled
		}
	}
	return records[0].Time, retention, nil // the journal is limited by size as well
}

// comparableSince is how far back a journal with the given retention is compared. It leaves out a seventh of the retention, 5 of
// 35 days, since a treat's date differs from the time of its receipt.
func comparableSince(now time.Time, retention time.Duration) time.Time {
	if retention <= 0 {
		return time.Time{}
	}
	return now.Add(-retention + retention/7)
}
