package journal

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// FollowConfig says which events [Journal.Follow] hands on.
type FollowConfig struct {
	Accounts []string  // empty: of all
	After    uint64    // those with a greater number in the journal
	Since    time.Time // if After is 0: those journaled since then; zero: all
}

// Follow hands events to visit in the order in which they were journaled, and goes on with each that is, until ctx ends: then it
// returns nil. Else it returns the error of visit, or why the journal cannot be followed any more, such as a connection that is lost;
// a new call with the number of the last event goes on behind it. What was put before one sink only is left out: replays, redrives and
// tests of one sink.
func (j *Journal) Follow(ctx context.Context, cfg FollowConfig, visit func(JournaledEvent) error) error {
	at := cfg.After + 1
	if cfg.After == 0 && !cfg.Since.IsZero() {
		var err error
		if at, err = j.SeekTime(ctx, cfg.Since); err != nil {
			return unfollowed(ctx, err)
		}
	}
	for {
		changed := j.Changed()
		records, err := j.Read(ctx, at, readBatch)
		if err != nil {
			return unfollowed(ctx, err)
		}
		for i := range records {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to end
			}
			r := &records[i]
			at = r.Number + 1
			if r.Kind != Treat || !isEvent(&r.Entry) || len(cfg.Accounts) > 0 && !slices.Contains(cfg.Accounts, r.Account) {
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

func unfollowed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return fmt.Errorf("follow the journal: %w", err)
}
