package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// retainEvery is how often old entries are dropped.
	retainEvery = time.Minute
	// maintainRetry is the delay before failed maintenance is retried.
	maintainRetry = 5 * time.Second
	// maintainGrace bounds the last write to the state.
	maintainGrace = 2 * time.Second
)

var errMaintainGrace = errors.New("the state did not store the progress of the dead letters within 2 s")

// maintain keeps the table of dead letters up to date and drops old entries, until ctx ends.
func (j *Journal) maintain(ctx context.Context) {
	retain := time.NewTicker(retainEvery)
	defer retain.Stop()
	var logged string
	failed := func(err error, what string) {
		if err == nil || ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != logged {
			logged = text
			j.cfg.Logger.Warn().Err(err).Msg(what)
		}
	}
	failed(j.retain(ctx), "old entries of the journal cannot be dropped now; trying again")
	for {
		var again <-chan time.Time
		select {
		case <-ctx.Done():
			return
		case <-retain.C:
			failed(j.retain(ctx), "old entries of the journal cannot be dropped now; trying again")
			continue
		case <-j.dead.wake:
			err := j.derive(ctx)
			if err == nil && j.dead.due() {
				err = j.noteDerived(ctx)
			}
			if err == nil {
				logged = ""
				continue
			}
			failed(err, "dead letters in the state are behind the journal; trying again")
			again = time.After(maintainRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
			j.dead.request()
		}
	}
}

// due reports whether to record in the state how far the table is.
func (t *deadTable) due() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.through-t.noted >= noteEvery
}

// request requests an update of the table.
func (t *deadTable) request() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// endMaintenance updates the state, so that the next start has little to read.
func (j *Journal) endMaintenance(ctx context.Context) {
	last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), maintainGrace, errMaintainGrace)
	defer cancel()
	err := j.derive(last)
	if err == nil {
		err = j.noteDerived(last)
	}
	if err != nil { // the next start does it
		j.cfg.Logger.Debug().Err(err).Msg("the progress of the dead letters is not stored in the state")
	}
}

// retain drops entries older than the retention, and their dead letters.
func (j *Journal) retain(ctx context.Context) error {
	if j.cfg.Retention <= 0 {
		return nil
	}
	before, _ := j.cfg.Log.Bounds()
	if err := j.cfg.Log.DropBefore(ctx, time.Now().Add(-j.cfg.Retention)); err != nil {
		return fmt.Errorf("drop entries older than %v: %w", j.cfg.Retention, err)
	}
	first, _ := j.cfg.Log.Bounds()
	if first == before {
		return nil
	}
	j.tail.dropBefore(first)
	return j.dropDead(ctx, first)
}

// dropDead removes dead letters before the number first from the table.
func (j *Journal) dropDead(ctx context.Context, first uint64) error {
	j.dead.deriving.Lock()
	defer j.dead.deriving.Unlock()
	var gone []string
	err := j.cfg.State.List(ctx, deadPrefix, func(key string, _ []byte) error {
		if number, err := deadNumber(key); err == nil && number < first {
			gone = append(gone, key)
		}
		return nil
	})
	for _, key := range gone {
		err = errors.Join(err, j.cfg.State.Delete(ctx, key))
	}
	if err != nil {
		return fmt.Errorf("remove the dropped dead letters: %w", err)
	}
	return nil
}

// reserveKnown reserves the numbers that the state knows and the log has lost.
func (j *Journal) reserveKnown(ctx context.Context) error {
	known, _, err := j.derivedThrough(ctx)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	cursors, err := j.Cursors(ctx)
	if err != nil {
		return err
	}
	for _, c := range cursors {
		known = max(known, max(c.Next, 1)-1)
	}
	_, next := j.cfg.Log.Bounds()
	if known < next {
		return nil
	}
	j.cfg.Logger.Error().Uint64("from", next).Uint64("to", known).
		Msg("journal has lost its end, as after a restored backup: these numbers are gone; what the provider's history still holds of them is fetched again")
	if err := j.cfg.Log.Reserve(ctx, known); err != nil {
		return fmt.Errorf("reserve the numbers %d to %d, which the journal has lost: %w", next, known, err)
	}
	return nil
}
