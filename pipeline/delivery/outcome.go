package delivery

import (
	"context"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// handleFailure handles the first event of a batch, which was not accepted. It reports false if the queue's events must stay
// for the next start.
func (w *worker) handleFailure(b batch, p breaker.Pass, began time.Time, err error) bool {
	l, head := w.lane, b.of[0]
	switch {
	case pipeline.IsGone(err): // nothing is sent now, and the event stays
		if b.due {
			l.queues.remove(w.queue, b, 1)
			l.schedule.Defer(head.retry)
		}
		return true
	case pipeline.IsRefusal(err):
		return w.handleRefusal(b, p, began, err)
	case pipeline.IsUnavailable(err) && !b.due: // the breaker delays the next attempt
		if pipeline.IsUnanswered(err) || b.index > 0 {
			l.queues.unanswered(w.queue, head, l.breaker.Deliveries())
		}
		if !l.queues.strict && b.index == 0 && head.probes >= schedule.DeferAfter && p.Accepted > head.before {
			return w.deferHead(began)
		}
		return true
	}
	next, now := w.retryOf(head), time.Now()
	before := next
	if next.Failed(began, now, l.cfg.Retry, err); began.Before(before.Next) { // it was a probe, outside the event's own schedule
		next.Attempts, next.Next = before.Attempts, clock.Later(before.Next, next.Floor)
	}
	// An outage does not count against an event, unless the event may cause it.
	if next.Over(l.cfg.Retry, now) && (!pipeline.IsUnavailable(err) || pipeline.IsUnanswered(err) && !p.Probe) {
		return w.giveUp(b, err, next.Attempts)
	}
	wait := time.Until(next.Next)
	next.Deferred = before.Deferred || !l.queues.strict && (next.Attempts >= schedule.DeferAfter || wait > schedule.LongWait)
	if !next.Deferred {
		next.Expedite(now)
	}
	w.report(head, &next, err)
	w.postpone(b, &next)
	return true
}

func (w *worker) report(d *delivery, t *schedule.Retry, err error) {
	w.logger().Warn().Err(err).Str("id", d.record.ID).Int("attempts", t.Attempts).Stringer("retry_in", time.Until(t.Next).Round(time.Millisecond)).
		Bool("others_pass", t.Deferred).Msg("sink did not accept an event; it is tried again")
}

// handleRefusal handles an event that the sink refuses, see [pipeline.IsRefusal]. Other events show whether the event or the
// sink is at fault. If others are accepted, the event is deferred, and given up after a few attempts. While none is
// accepted, the breaker delays the next attempt.
func (w *worker) handleRefusal(b batch, p breaker.Pass, began time.Time, err error) bool {
	l, head, now := w.lane, b.of[0], time.Now()
	if b.index > 0 {
		return true
	}
	t, failing := w.retryOf(head), l.breaker.Failing()
	before, seen := l.queues.refused(head, l.breaker.Deliveries())
	// What was accepted right after the first attempt may already have been on its way.
	t.Alone = t.Alone || max(t.Attempts, before) >= aloneAt && p.Accepted > seen
	// Deferring cannot lose the event, or order does not matter: so do not wait for the fate of others.
	free := (l.ledger.inOrder || l.queues.unordered) && before+1 >= schedule.DeferAfter
	switch {
	case t.Alone && !failing && t.Attempts+1 >= schedule.MinAttempts, l.breaker.ShouldGiveUp(head.number, l.queues.strict):
		return w.giveUp(b, err, t.Attempts+1)
	case failing && !b.due && !t.First.IsZero() && !free:
		return true
	}
	made := t.Attempts
	t.Refused(began, now, l.cfg.Retry, err)
	if failing && made > 0 { // it says little about the event
		t.Attempts = made
	}
	t.Deferred = t.Deferred || free || !l.queues.strict && t.Alone
	w.report(head, &t, err)
	w.postpone(b, &t)
	return true
}

// aloneAt is the number of attempts after which accepted events count against a refused one.
const aloneAt = 2

// deferAlone defers the first event of the queue, which was refused repeatedly while another was accepted at once.
func (w *worker) deferAlone(began time.Time, err error) bool {
	b := w.lane.queues.head(w.queue)
	t := w.retryOf(b.of[0])
	t.Refused(began, time.Now(), w.lane.cfg.Retry, err)
	t.Alone, t.Deferred = true, true
	w.report(b.of[0], &t, err)
	w.postpone(b, &t)
	return true
}

// retryOf returns the retry of a refused event.
func (w *worker) retryOf(d *delivery) schedule.Retry {
	if d.retry != nil {
		return *d.retry
	}
	return schedule.Retry{Seq: d.number, ID: d.record.ID, Account: d.record.Account}
}

func attempts(d *delivery) int {
	if d.retry == nil {
		return 0
	}
	return d.retry.Attempts
}

// postpone stores when a batch's first event is tried again, and lets others pass if it is deferred. It is open in the
// cursor in either case.
func (w *worker) postpone(b batch, t *schedule.Retry) {
	l, head := w.lane, b.of[0]
	if err := clock.WriteWithTimeout(w.ctx, func(ctx context.Context) error { return l.schedule.Save(ctx, *t) }); err != nil {
		w.logger().Warn().Err(err).Msg("a restart would try the event again too early")
	}
	l.queues.setRetry(head, t)
	if t.Deferred {
		l.queues.remove(w.queue, b, 1)
		l.ledger.deferDelivery(head)
		l.metrics.inFlight.Set(float64(l.ledger.inHand()))
		l.schedule.Defer(t)
	}
}

// deferHead defers the first event of the queue, since the destination answers to others and not to it.
func (w *worker) deferHead(began time.Time) bool {
	b := w.lane.queues.head(w.queue)
	head := b.of[0]
	t := w.retryOf(head)
	floor := t.Floor
	t.Attempts, t.Deferred = t.Attempts+head.probes-1, true
	t.Failed(began, time.Now(), w.lane.cfg.Retry, nil)
	t.Floor, t.Next = floor, clock.Later(t.Next, floor)
	w.logger().Warn().Str("id", t.ID).Int("attempts", t.Attempts).Stringer("retry_in", time.Until(t.Next).Round(time.Second)).
		Msg("sink answers to other events, and not to this one; it is tried again later")
	w.postpone(b, &t)
	return true
}

// giveUp makes a dead letter of a batch's first event. The event is settled once that is on disk.
func (w *worker) giveUp(b batch, why error, attempts int) bool {
	l, head := w.lane, b.of[0]
	for logged := false; ; logged = true {
		err := clock.WriteWithTimeout(w.ctx, func(ctx context.Context) error {
			return l.journal().KeepDeadLetter(ctx, l.cfg.Sink, why.Error(), attempts, head.record)
		})
		if err == nil {
			break
		}
		if !logged {
			w.logger().Error().Err(err).Str("id", head.record.ID).Msg("dead letter cannot be kept; waiting")
		}
		if !l.stop.pause(w.ctx) {
			return false
		}
	}
	l.metrics.deadLetters.Inc()
	w.logger().Error().Err(why).Str("id", head.record.ID).Int("attempts", attempts).Msg("event given up: it is kept as a dead letter")
	l.keeper.GaveUp(why)
	l.breaker.Forget(head.number)
	w.settle(b, 1)
	return true
}
