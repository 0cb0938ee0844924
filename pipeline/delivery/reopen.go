package delivery

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// takeOpen takes events that were open when an earlier run ended, in order, before anything newer. It waits for room
// until hurry is closed.
func (l *Lane) takeOpen(ctx context.Context, hurry <-chan struct{}) {
	if !l.waitRoom(ctx, hurry) {
		return
	}
	first := l.left[0]
	next, err := l.takeBack(ctx, first)
	l.noteReadable(err)
	if err != nil {
		clock.Await(ctx, hurry, nil, time.Second)
		return
	}
	if l.left[0].First = next; next > first.Last {
		l.left = l.left[1:]
	}
}

// takeBack takes events of a range of open numbers. It returns the first number that it did not reach.
func (l *Lane) takeBack(ctx context.Context, rng journal.Range) (uint64, error) {
	room, size := l.ledger.room()
	limit := min(uint64(max(room, 1)), rng.Last-rng.First+1, cursor.ReadAtOnce)
	records, err := l.journal().Read(ctx, rng.First, int(limit))
	if err != nil {
		return rng.First, err
	}
	records = slices.DeleteFunc(records, func(r journal.Record) bool { return r.Number > rng.Last })
	next := rng.First
	for i := range records {
		r := &records[i]
		if r.Number > next {
			if err := l.lost(ctx, journal.Range{First: next, Last: r.Number - 1}); err != nil {
				return next, err
			}
		}
		if next = r.Number; i > 0 && size < len(r.Data) {
			return next, nil
		}
		size -= len(r.Data)
		l.takeOne(ctx, r)
		next++
	}
	if len(records) == 0 {
		return rng.Last + 1, l.lost(ctx, rng)
	}
	return next, nil
}

// takeOne takes an event that was open.
func (l *Lane) takeOne(ctx context.Context, r *journal.Record) {
	known := l.schedule.Claim(r.Number)
	if known != nil && known.ID != l.recordOf(r).ID {
		l.log.Warn().Str("was", known.ID).Str("is", l.recordOf(r).ID).Uint64("number", r.Number).Msg("journal holds another event than the one to be retried")
		l.schedule.Settled(ctx, known)
		known = nil
	}
	if !l.feed.interest.matches(r) || !l.rules.Wants(r) {
		l.ledger.settleNumber(r.Number)
		if known != nil {
			l.schedule.Settled(ctx, known)
		}
		return
	}
	if replacesLost(r) && l.ledger.waitsFor(r.Ref, r.Number) {
		return
	}
	d := new(delivery)
	l.fill(d, r, time.Now(), known)
	d.record.Line = bytes.Clone(d.record.Line)
	l.ledger.takeBack(d)
	l.metrics.inFlight.Set(float64(l.ledger.inHand()))
	l.queues.put([]*delivery{d})
}

// lost handles open numbers that the journal does not hold. Events lost to damage return when they are backfilled.
// Events dropped by age are lost to the sink.
func (l *Lane) lost(ctx context.Context, rng journal.Range) error {
	gaps, err := l.journal().Gaps(ctx)
	if err != nil {
		return err
	}
	damage := cursor.Numbers(gaps)
	var damaged, dropped losses
	for number := rng.First; number <= rng.Last; number++ {
		known, by := l.schedule.Claim(number), &dropped
		if damage.Contains(number) {
			by = &damaged
		}
		by.add(number, known)
		l.lose(ctx, number, known, by == &damaged)
	}
	l.reportLost(&damaged, true)
	l.reportLost(&dropped, false)
	return nil
}

// losses are events that are lost to a sink, logged in one line.
type losses struct {
	events      int
	first, last uint64
	retry       *schedule.Retry // of the first one, if known
}

func (l *losses) add(number uint64, known *schedule.Retry) {
	if l.events++; l.events == 1 {
		l.first, l.retry = number, known
	}
	l.last = number
}

func (l *Lane) reportLost(s *losses, damaged bool) {
	if s.events == 0 {
		return
	}
	event := l.log.Error().Int("events", s.events).Uint64("number", s.first)
	if s.events > 1 {
		event = event.Uint64("last", s.last)
	}
	if s.retry != nil {
		event = event.Str("id", s.retry.ID).Int("attempts", s.retry.Attempts)
	}
	if damaged {
		event.Msg("events that the sink had not accepted are lost to damage of the journal: they are delivered once they are found in the history")
	} else {
		event.Msg("events are lost to this sink: the journal dropped them by age before they were accepted; raise journal.retention")
	}
}

// lose settles a lost number, whose retry may be known.
func (l *Lane) lose(ctx context.Context, number uint64, known *schedule.Retry, damaged bool) {
	if damaged {
		l.ledger.lose(number)
	} else {
		l.ledger.settleNumber(number)
	}
	if known != nil {
		l.schedule.Settled(ctx, known)
	}
}

// requeue reads a deferred event from the journal and queues it. It reports false if the caller should retry.
func (l *Lane) requeue(ctx context.Context, r *schedule.Retry) bool {
	number, also := r.Seq, uint64(0)
	record, err := l.journal().Get(ctx, number)
	if errors.Is(err, journal.ErrNotHeld) {
		if by, ok := l.ledger.replacement(number); ok {
			also = by
			record, err = l.journal().Get(ctx, by)
		}
	}
	if errors.Is(err, journal.ErrNotHeld) {
		var gaps []journal.Range
		if gaps, err = l.journal().Gaps(ctx); err == nil {
			damaged := cursor.Numbers(gaps).Contains(number)
			var one losses
			one.add(number, r)
			l.lose(ctx, number, r, damaged)
			l.reportLost(&one, damaged)
			return true
		}
	}
	if err != nil {
		l.log.Debug().Err(err).Str("id", r.ID).Msg("event cannot be read for its retry yet")
		return false
	}
	d := &delivery{replaced: also, deferred: true}
	l.fill(d, &record, time.Now(), r)
	d.number = number
	d.record.Line = bytes.Clone(d.record.Line)
	if d.record.ID != r.ID {
		l.log.Error().Str("was", r.ID).Str("is", d.record.ID).Uint64("number", number).
			Msg("event to be retried is lost: the journal holds another one under its number, which is delivered")
		d.retry = &schedule.Retry{Seq: number, ID: d.record.ID, Account: d.record.Account, Deferred: true}
		l.schedule.Replace(ctx, r, d.retry)
	}
	l.queues.putDue(d)
	return true
}
