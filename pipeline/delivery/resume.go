package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// resumed is a destination's answer about where to continue, see [pipeline.Resumer].
type resumed struct {
	supported bool            // the destination can answer
	dead      map[uint64]bool // later numbers that are dead letters already
}

// begin restores the state of an earlier run.
func (l *Lane) begin(ctx context.Context, c journal.Cursor) error {
	resumer, ok := l.sink.(pipeline.Resumer)
	ok = ok && l.queues.together
	if ok {
		var err error
		before := c.Next
		if c, err = l.resume(ctx, resumer, c); err == nil && c.Next > before {
			c.Open, err = l.reopen(ctx, c.Open, before, c.Next)
		}
		if err != nil {
			return err
		}
	}
	l.ledger = newLedger(c, ok, func(settled int) {
		l.home.store.MarkDirty(l.cfg.Sink)
		if !ok {
			l.home.store.Settled(settled)
		}
	})
	l.feed.setPosition(l.ledger.position())
	if err := l.schedule.Restore(ctx, c.Open, c.Next); err != nil {
		return err
	}
	for _, rng := range c.Open {
		for number := rng.First; number <= rng.Last; number++ {
			if l.schedule.WasDeferred(number) {
				l.schedule.Claim(number) // it waits for its next attempt
				continue
			}
			l.left.AddOne(number)
		}
	}
	return l.beginSink(ctx)
}

// beginSink reads the state of the sink.
func (l *Lane) beginSink(ctx context.Context) error {
	state, err := l.journal().SinkState(ctx, l.cfg.Sink)
	if errors.Is(err, journal.ErrDamagedValue) {
		l.log.Warn().Err(err).Msg("the state of the sink is damaged: it counts as neither down nor disabled")
		state, err = journal.SinkState{}, l.journal().State().Delete(ctx, journal.SinkKey(l.cfg.Sink))
	}
	if err != nil {
		return err
	}
	ahead := breaker.FromDisk(&state, time.Now())
	l.breaker, l.keeper = breaker.New(l.cfg.Concurrency, l.cfg.PerSecond, l.cfg.Probe, state), breaker.NewKeeper(l.journal(), l.cfg.Sink, l.metrics.health, l.log)
	l.keeper.Watch(l.breaker, l.schedule.MakeDue, l.cfg.Alert)
	if ahead {
		l.keeper.MarkDirty()
	}
	if !state.DisabledSince.IsZero() {
		l.log.Warn().Time("since", state.DisabledSince).Str("reason", state.Reason).
			Msgf("sink is disabled: its events wait; relay sinks enable %s sends them", l.cfg.Sink)
	}
	return nil
}

// resume moves a cursor to where the destination stands. The destination overrides the cursor in either direction: one
// that was killed together with relay may hold more, and one that lost unsynced data holds less.
//
// The cursor of such a lane never passes an event in hand (see [ledger]), so its open numbers are deferred events. They
// stay open wherever the destination stands. What was in hand is beyond the cursor. Above the destination's number it
// is read again; below, it was accepted, since a destination with one queue accepts in order.
func (l *Lane) resume(ctx context.Context, sink pipeline.Resumer, c journal.Cursor) (journal.Cursor, error) {
	number, id, ok, err := sink.LastAccepted(ctx)
	if err != nil {
		return c, fmt.Errorf("ask the destination for its last event: %w", err)
	}
	if l.resumed.supported = ok; !ok || number == 0 {
		return c, nil
	}
	first, next := l.journal().Bounds()
	at := cursor.Position{Next: number + 1}
	switch record, err := l.journal().Get(ctx, number); {
	case number < first: // too old to be unsynced
		return c, nil
	case number >= next && number-next > nearEnd: // from another journal
		l.log.Warn().Uint64("number", number).Str("id", id).Msg("destination holds a number that the journal has never assigned: the lane goes by its own cursor")
		return c, nil
	case number >= next: // the journal has lost its end, and the cursor was not saved since
		if err := l.home.reserve(ctx, "the destination of sink "+l.cfg.Sink, number); err != nil {
			return c, err
		}
	case errors.Is(err, journal.ErrNotHeld): // the record is damaged
	case err != nil:
		return c, err
	case l.recordOf(&record).ID != id:
		l.log.Warn().Uint64("number", number).Str("id", id).Msg("destination was not filled from this journal: the lane goes by its own cursor")
		return c, nil
	default:
		at = cursor.Behind(&record)
	}
	if at.Next < c.Next {
		l.log.Warn().Uint64("cursor", c.Next).Uint64("goes_on_at", at.Next).
			Msg("destination has lost the last events that it had accepted: they are delivered again")
		if l.resumed.dead, err = l.deadBeyond(ctx, number, c.Next); err != nil {
			return c, err
		}
	}
	return journal.Cursor{
		Next: at.Next, LastID: at.ID, LastTime: at.Time, Open: cursor.Numbers(c.Open).Below(at.Next), Missing: cursor.Numbers(c.Missing).Below(at.Next),
	}, nil
}

// reopen adds to the open numbers the deferred events from the cursor on, since the destination has what follows them.
func (l *Lane) reopen(ctx context.Context, open cursor.Numbers, from, next uint64) (cursor.Numbers, error) {
	all, _, err := schedule.NewStore(l.journal().State(), l.cfg.Sink).All(ctx)
	if err != nil {
		return open, err
	}
	open = slices.Clone(open)
	for number, r := range all {
		if !r.Deferred || number < from || number >= next {
			continue
		}
		record, err := l.journal().Get(ctx, number)
		if err != nil && !errors.Is(err, journal.ErrNotHeld) {
			return open, err
		}
		if err == nil && l.recordOf(&record).ID == r.ID {
			open.AddOne(number)
		}
	}
	return open, nil
}

// deadBeyond returns the numbers after one that are dead letters of the sink, as far as the lane had read.
func (l *Lane) deadBeyond(ctx context.Context, number, came uint64) (map[uint64]bool, error) {
	dead := make(map[uint64]bool)
	for at := number + 1; at < came+nearEnd; {
		records, err := l.journal().Read(ctx, at, cursor.ReadAtOnce)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			if r := &records[i]; r.Kind == journal.Dead && r.Sink == l.cfg.Sink && r.Ref > number {
				dead[r.Ref] = true
			}
		}
		at = records[len(records)-1].Number + 1
	}
	return dead, nil
}

// recordOf returns the record for the sink. For a backfill batch it has the id of the sink's digest.
func (l *Lane) recordOf(r *journal.Record) pipeline.Record {
	record := r.Delivery()
	if r.Kind == journal.Backfill {
		record.ID = l.digester.ID(r)
	}
	return record
}
