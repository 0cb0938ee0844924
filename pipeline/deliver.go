package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// A worker delivers the events of one queue at a time and in order.
type worker struct {
	lane *Lane
	fail context.CancelCauseFunc // ends the lane
}

// run delivers what the queue has until there is nothing, until ctx ends, or until an event has to wait while draining.
func (w *worker) run(ctx context.Context, id queueID) {
	l := w.lane
	log := l.log.With().Str("account", id.account).Logger()
	metrics, name := l.journal.metrics, l.cfg.Sink
	size := maxHandover
	for {
		b, ok := l.next(id, size)
		if !ok {
			return
		}
		if l.halted() {
			l.abandon(id)
			return
		}
		head := b.of[0]
		if t := head.trouble; t != nil && !b.due && !w.await(ctx, t) {
			l.abandon(id)
			return
		}
		b = b.beforeMark()
		if head.record.Type == healType {
			some, ok := w.sumUp(ctx, head, log)
			if !ok {
				l.abandon(id)
				return
			}
			if !some {
				l.settle(ctx, id, b, 1)
				continue
			}
		}
		p, ok := l.gate.enter(ctx, l.drain)
		if !ok {
			l.abandon(id)
			return
		}
		began := time.Now()
		n, err := w.hand(ctx, b)
		if n > 0 { // a sink that takes one at a time is not handed hundreds each time
			size = min(2*n, maxHandover)
		}
		_, told := RetryDelay(err)
		told = told || IsGone(err) // by the destination, which is not to be forgotten though ctx has ended
		if n == 0 && (ctx.Err() != nil && !told || errors.Is(err, ErrSinkClosed)) {
			l.gate.abort(p)
			if ctx.Err() == nil {
				w.fail(ErrSinkClosed)
			}
			l.abandon(id)
			return
		}
		l.gate.leave(p, head.record.Seq, b.due, err)
		if n > 0 {
			now := time.Now()
			for _, d := range b.of[:n] {
				metrics.Latency.WithLabelValues(name).Observe(now.Sub(d.at).Seconds())
			}
			metrics.Delivered.WithLabelValues(name).Add(float64(n))
			l.progress.delivered(now, b.of[:n])
			l.traceDelivered(b.of[:n], began, nil)
			if head.trouble != nil {
				log.Info().Str("id", head.record.ID).Int("attempts", head.trouble.Attempts+1).Msg("sink accepted an event it had refused")
			}
			l.settle(ctx, id, b, n)
		} else {
			metrics.Failures.WithLabelValues(name).Inc()
			l.progress.failed()
			l.traceDelivered(b.of[:1], began, err)
			ok = w.failed(ctx, id, b, p, began, err, log)
			l.gate.nudge()
		}
		if ok && b.second && !IsUnavailable(err) && !IsGone(err) { // the destination works, but for the first event
			ok = w.avoid(ctx, id, began, log)
		}
		if !ok {
			l.abandon(id)
			return
		}
	}
}

// await waits until an event may be tried again that was refused: at its own time or, where everything behind it waits for it,
// when the destination fails as a whole or has recovered, but not before the time that the destination asked for. It reports false
// if ctx ended or draining started before.
func (w *worker) await(ctx context.Context, t *retry) bool {
	l := w.lane
	for {
		at, changed := t.Next, (<-chan struct{})(nil)
		if l.cfg.Strict {
			var premature bool
			if premature, changed = l.gate.premature(t.Last); premature {
				at = t.Floor
			}
		}
		wait := time.Until(at)
		if wait <= 0 {
			return true
		}
		if !await(ctx, l.drain, changed, wait) {
			return false
		}
	}
}

// hand gives a batch to the sink and returns how many of it, from the front, were accepted, or why none was.
func (w *worker) hand(ctx context.Context, b batch) (int, error) {
	l := w.lane
	records := make([]Record, len(b.of))
	for i, d := range b.of {
		var err error
		if records[i], err = hide(d.record, l.cfg.Sender, l.hashKey); err != nil {
			if i == 0 {
				return 0, Permanent(err)
			}
			records = records[:i]
			break
		}
	}
	n, err := l.sink.Deliver(ctx, records)
	switch {
	case n > 0:
		return n, nil
	case err == nil:
		return 0, errNothingAccepted
	}
	return 0, err
}

var errNothingAccepted = errors.New("the sink accepted nothing and did not say why")

// failed decides what becomes of a batch's first event, which was not accepted. It reports false when the account's events
// are to stay for the next start.
func (w *worker) failed(ctx context.Context, id queueID, b batch, p pass, began time.Time, err error, log zerolog.Logger) bool {
	l, head := w.lane, b.of[0]
	switch {
	case IsGone(err): // the gate is shut now, and the event stays
		if b.due {
			l.remove(id, b, 1)
			l.setAside(head.trouble)
		}
		return true
	case IsPermanent(err):
		return w.bury(ctx, id, b, err, attempts(head)+1, log)
	case IsUnavailable(err) && !b.due: // the gate waits
		if IsUnanswered(err) || b.second {
			w.tried(id, head)
		}
		if !l.cfg.Strict && !b.second && head.probes >= stepAside && p.accepted > head.before {
			return w.avoid(ctx, id, began, log)
		}
		return true
	}
	t := head.trouble
	if t == nil {
		t = &retry{Seq: head.record.Seq, ID: head.record.ID, Account: id.account}
	}
	next := *t
	now := time.Now()
	if next.failed(began, now, l.cfg.Retry, err); began.Before(t.Next) { // it was a probe, beside the event's own schedule
		next.Attempts, next.Next = t.Attempts, later(t.Next, next.Floor)
	}
	// An outage is no reason to give an event up, as far as the event is not what the destination breaks on.
	if next.over(l.cfg.Retry, now) && (!IsUnavailable(err) || IsUnanswered(err) && !p.probe) {
		return w.bury(ctx, id, b, err, next.Attempts, log)
	}
	wait := time.Until(next.Next)
	next.Aside = t.Aside || !l.cfg.Strict && (next.Attempts >= stepAside || wait > longWait)
	log.Warn().Err(err).Str("id", head.record.ID).Int("attempts", next.Attempts).Stringer("retry_in", wait.Round(time.Millisecond)).
		Bool("others_pass", next.Aside).Msg("sink did not accept an event; it is tried again")
	return w.postpone(ctx, id, b, &next, log)
}

// longWait is more than the events behind one that fails are made to wait.
const longWait = time.Minute

func attempts(d *delivery) int {
	if d.trouble == nil {
		return 0
	}
	return d.trouble.Attempts
}

// tried counts an attempt that was not answered, also to the event in whose place another was tried.
func (w *worker) tried(id queueID, d *delivery) {
	l := w.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.probes++; d.probes == 1 {
		d.before = l.gate.deliveries()
	}
	if queue := l.queues[id]; len(queue) > 0 && queue[0] != d {
		queue[0].probes++
	}
}

// postpone keeps on disk when a batch's first event is to be tried again, and lets others pass it if it steps aside.
func (w *worker) postpone(ctx context.Context, id queueID, b batch, t *retry, log zerolog.Logger) bool {
	l, head := w.lane, b.of[0]
	if err := l.atOnce(ctx, func(ctx context.Context) error { return l.journal.putRetry(ctx, l.cfg.Sink, *t) }); err != nil {
		log.Warn().Err(err).Msg("a restart would try the event again too early")
		if !b.due {
			t.Aside = false // it must not lose its place in the cursor
		}
	}
	l.mu.Lock()
	head.trouble = t
	l.mu.Unlock()
	if t.Aside {
		l.remove(id, b, 1)
		l.setAside(t)
	}
	return true
}

// avoid makes the first event of an account's queue step aside: the destination answers to others, and not to it.
func (w *worker) avoid(ctx context.Context, id queueID, began time.Time, log zerolog.Logger) bool {
	l := w.lane
	l.mu.Lock()
	b := batch{of: l.queues[id][:1:1]}
	l.mu.Unlock()
	t := &retry{Seq: b.of[0].record.Seq, ID: b.of[0].record.ID, Account: id.account}
	if known := b.of[0].trouble; known != nil {
		*t = *known
	}
	floor := t.Floor
	t.Attempts, t.Aside = t.Attempts+b.of[0].probes-1, true
	t.failed(began, time.Now(), l.cfg.Retry, nil)
	t.Floor, t.Next = floor, later(t.Next, floor)
	log.Warn().Str("id", t.ID).Int("attempts", t.Attempts).Stringer("retry_in", time.Until(t.Next).Round(time.Second)).
		Msg("sink answers to other events, and not to this one; it is tried again later")
	return w.postpone(ctx, id, b, t, log)
}

// bury makes a dead letter of a batch's first event. The event is settled when that is on disk.
func (w *worker) bury(ctx context.Context, id queueID, b batch, why error, attempts int, log zerolog.Logger) bool {
	l, head := w.lane, b.of[0]
	for said := false; ; said = true {
		err := l.atOnce(ctx, func(ctx context.Context) error {
			return l.journal.deadLetter(ctx, l.cfg.Sink, why.Error(), attempts, head.record)
		})
		if err == nil {
			break
		}
		if !said {
			log.Error().Err(err).Str("id", head.record.ID).Msg("dead letter cannot be kept; waiting")
		}
		if !l.pause(ctx) {
			return false
		}
	}
	l.journal.metrics.DeadLetters.WithLabelValues(l.cfg.Sink).Inc()
	log.Error().Err(why).Str("id", head.record.ID).Int("attempts", attempts).Msg("event given up: it is kept as a dead letter")
	l.buried(why)
	l.settle(ctx, id, b, 1)
	return true
}
