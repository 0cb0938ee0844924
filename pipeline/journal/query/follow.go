package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// One read returns at most followBatch records, and about followBytes if the records are as large as those of the read before. Each reader holds what
// it has read, and there can be a thousand.
const (
	followBatch = 64
	followBytes = 64 << 10
)

// FollowConfig selects the events of [Follow].
type FollowConfig struct {
	Accounts []string          // empty: all accounts
	Types    []string          // empty: all types
	Origins  []pipeline.Origin // empty: all origins
	After    uint64            // by the number in the journal, exclusive
	Since    time.Time         // if After is 0, by the time of journaling; zero: all
}

// takes reports whether an entry matches.
func (c *FollowConfig) takes(e *journal.Entry) bool {
	return e.Kind == journal.Treat && e.IsEvent() && ofType(c.Types, e) &&
		(len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account)) && (len(c.Origins) == 0 || slices.Contains(c.Origins, e.Origin))
}

// Follow calls visit with each event in the order of the journal, and waits for new ones until ctx ends; then it returns nil.
// It stops with the error of visit, or with an error if the journal cannot be read, such as a lost connection. To resume,
// call it again with After set to the number of the last event. It skips events for a single sink: replays, redrives and
// tests.
func Follow(ctx context.Context, j *journal.Journal, cfg FollowConfig, visit func(Event) error) error {
	at := cfg.After + 1
	if cfg.After == 0 && !cfg.Since.IsZero() {
		var err error
		if at, err = j.SeekTime(ctx, cfg.Since); err != nil {
			return unfollowed(ctx, err)
		}
	}
	for limit := 1; ; {
		changed := j.Changed()
		records, err := j.Read(ctx, at, limit)
		if err != nil {
			return unfollowed(ctx, err)
		}
		limit = nextBatch(records, limit)
		for i := range records {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the caller has stopped it
			}
			r := &records[i]
			at = r.Number + 1
			if !cfg.takes(&r.Entry) {
				continue
			}
			e, err := journaledEvent(r)
			if err != nil {
				return err
			}
			if err := visit(e); err != nil {
				return err
			}
		}
		if len(records) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// nextBatch returns how many records to read after these.
func nextBatch(records []journal.Record, last int) int {
	size := 0
	for i := range records {
		size += journal.EntrySize(&records[i].Entry)
	}
	if size == 0 {
		return last
	}
	return min(followBatch, max(1, len(records)*followBytes/size))
}

// unfollowed wraps an error, and returns nil if ctx has ended.
func unfollowed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller has stopped it
	}
	return fmt.Errorf("follow the journal: %w", err)
}
