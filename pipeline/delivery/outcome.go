package delivery

import (
	"context"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// refused decides what becomes of a batch's first event, which was not accepted. It reports false when the queue's events
// are to stay for the next start.
func (w *worker) refused(b batch, p breaker.Pass, began time.Time, err error) bool {
	l, head := w.lane, b.of[0]
	switch {
	case pipeline.IsGone(err): // nothing goes out now, and the event stays
		if b.due {
			l.queues.remove(w.queue, b, 1)
			l.schedule.SetAside(head.trouble)
		}
		return true
	case pipeline.IsRefusal(err):
		return w.denied(b, p, began, err)
	case pipeline.IsUnavailable(err) && !b.due: // the breaker makes it wait
		if pipeline.IsUnanswered(err) || b.place > 0 {
			l.queues.unanswered(w.queue, head, l.breaker.Deliveries())
		}
		if !l.queues.strict && b.place == 0 && head.probes >= schedule.StepAside && p.Accepted > head.before {
			return w.avoid(began)
		}
		return true
	}
	next, now := w.retryOf(head), time.Now()
	before := next
	if next.Failed(began, now, l.cfg.Retry, err); began.Before(before.Next) { // it was a probe, beside the event's own schedule
		next.Attempts, next.Next = before.Attempts, clock.Later(before.Next, next.Floor)
	}
	// An outage is no reason to give an event up, as far as the event is not what the destination breaks on.
	if next.Over(l.cfg.Retry, now) && (!pipeline.IsUnavailable(err) || pipeline.IsUnanswered(err) && !p.Probe) {
		return w.giveUp(b, err, next.Attempts)
	}
	wait := time.Until(next.Next)
	next.Aside = before.Aside || !l.queues.strict && (next.Attempts >= schedule.StepAside || wait > schedule.LongWait)
	if !next.Aside {
		next.Hold(now)
	}
	w.report(head, &next, err)
	w.postpone(b, &next)
	return true
}

func (w *worker) report(d *delivery, t *schedule.Retry, err error) {
	w.logger().Warn().Err(err).Str("id", d.record.ID).Int("attempts", t.Attempts).Stringer("retry_in", time.Until(t.Next).Round(time.Millisecond)).
		Bool("others_pass", t.Aside).Msg("sink did not accept an event; it is tried again")
}

// denied decides what becomes of an event that the sink refuses, see [pipeline.IsRefusal]. Whether it is the event or the sink shows in what
// becomes of others: when they are accepted, it steps aside, and after a few attempts it is given up. While none is, the breaker makes it wait.
func (w *worker) denied(b batch, p breaker.Pass, began time.Time, err error) bool {
	l, head, now := w.lane, b.of[0], time.Now()
	if b.place > 0 {
		return true
	}
	t, failing := w.retryOf(head), l.breaker.Failing()
	before, seen := l.queues.refused(head, l.breaker.Deliveries())
	// What was accepted right after the first attempt may have been on its way already.
	t.Alone = t.Alone || max(t.Attempts, before) >= aloneAt && p.Accepted > seen
	// Nothing can be lost by it, or the order does not matter: then it need not wait for what becomes of others.
	free := (l.ledger.inOrder || l.queues.unordered) && before+1 >= schedule.StepAside
	switch {
	case t.Alone && !failing && t.Attempts+1 >= schedule.MinAttempts, l.breaker.Hopeless(head.number, l.queues.strict):
		return w.giveUp(b, err, t.Attempts+1)
	case failing && !b.due && !t.First.IsZero() && !free:
		return true
	}
	made := t.Attempts
	t.Refused(began, now, l.cfg.Retry, err)
	if failing && made > 0 { // it says little of the event
		t.Attempts = made
	}
	t.Aside = t.Aside || free || !l.queues.strict && t.Alone
	w.report(head, &t, err)
	w.postpone(b, &t)
	return true
}

// aloneAt is after how many attempts it counts that others are accepted while an event is refused.
const aloneAt = 2

// alone makes the first event of the queue step aside, which was refused again and again, when another was accepted at once.
func (w *worker) alone(began time.Time, err error) bool {
	b := w.lane.queues.head(w.queue)
	t := w.retryOf(b.of[0])
	t.Refused(began, time.Now(), w.lane.cfg.Retry, err)
	t.Alone, t.Aside = true, true
	w.report(b.of[0], &t, err)
	w.postpone(b, &t)
	return true
}

// retryOf is what is known of an event that was refused.
func (w *worker) retryOf(d *delivery) schedule.Retry {
	if d.trouble != nil {
		return *d.trouble
	}
	return schedule.Retry{Seq: d.number, ID: d.record.ID, Account: d.record.Account}
}

func attempts(d *delivery) int {
	if d.trouble == nil {
		return 0
	}
	return d.trouble.Attempts
}

// postpone keeps on disk when a batch's first event is to be tried again, and lets others pass it if it steps aside. It is open in the cursor
// either way.
func (w *worker) postpone(b batch, t *schedule.Retry) {
	l, head := w.lane, b.of[0]
	if err := clock.AtOnce(w.ctx, func(ctx context.Context) error { return l.schedule.Keep(ctx, *t) }); err != nil {
		w.logger().Warn().Err(err).Msg("a restart would try the event again too early")
	}
	l.queues.setTrouble(head, t)
	if t.Aside {
		l.queues.remove(w.queue, b, 1)
		l.ledger.setAside(head)
		l.metrics.inFlight.Set(float64(l.ledger.inHand()))
		l.schedule.SetAside(t)
	}
}

// avoid makes the first event of the queue step aside: the destination answers to others, and not to it.
func (w *worker) avoid(began time.Time) bool {
	b := w.lane.queues.head(w.queue)
	head := b.of[0]
	t := w.retryOf(head)
	floor := t.Floor
	t.Attempts, t.Aside = t.Attempts+head.probes-1, true
	t.Failed(began, time.Now(), w.lane.cfg.Retry, nil)
	t.Floor, t.Next = floor, clock.Later(t.Next, floor)
	w.logger().Warn().Str("id", t.ID).Int("attempts", t.Attempts).Stringer("retry_in", time.Until(t.Next).Round(time.Second)).
		Msg("sink answers to other events, and not to this one; it is tried again later")
	w.postpone(b, &t)
	return true
}

// giveUp makes a dead letter of a batch's first event. The event is settled when that is on disk.
func (w *worker) giveUp(b batch, why error, attempts int) bool {
	l, head := w.lane, b.of[0]
	for said := false; ; said = true {
		err := clock.AtOnce(w.ctx, func(ctx context.Context) error {
			return l.journal().KeepDeadLetter(ctx, l.cfg.Sink, why.Error(), attempts, head.record)
		})
		if err == nil {
			break
		}
		if !said {
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
