package delivery

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// maxHandover is how many records a sink is given at a time.
const maxHandover = 1000

// worker delivers the events of one queue at a time and in order.
type worker struct {
	lane  *Lane
	ctx   context.Context //nolint:containedctx // the lane's; a worker lives no longer
	queue *queue
	fail  context.CancelCauseFunc // ends the lane

	records []pipeline.Record // what is handed over; used again
}

// run delivers what the queue has until there is nothing, until ctx ends, or until an event has to wait while draining.
func (w *worker) run() {
	l := w.lane
	for size := maxHandover; ; {
		b, ok := l.queues.next(w.queue, size, l.breaker.Failing())
		if !ok {
			return
		}
		n, ok := w.deliver(b)
		if !ok {
			l.queues.abandon(w.queue)
			return
		}
		if n > 0 { // a sink that takes one at a time is not handed hundreds each time
			size = min(2*n, maxHandover)
		}
	}
}

// deliver makes one attempt with a batch, and returns how many of it the sink accepted. It reports false when the queue's events are to stay for the next
// start.
func (w *worker) deliver(b batch) (int, bool) {
	l, head := w.lane, b.of[0]
	if l.stop.halted() || head.trouble != nil && !b.due && !w.await(head.trouble) {
		return 0, false
	}
	if head.heal {
		if some, ok := w.sumUp(head); !ok || !some {
			if ok {
				w.settle(b, 1)
			}
			return 0, ok
		}
	}
	p, ok := l.breaker.Enter(w.ctx, l.stop.drain)
	if !ok {
		return 0, false
	}
	began := time.Now()
	n, err := w.hand(b)
	_, told := pipeline.RetryDelay(err)
	told = told || pipeline.IsGone(err) // by the destination, which is not to be forgotten though ctx has ended
	if n == 0 && (w.ctx.Err() != nil && !told || errors.Is(err, pipeline.ErrSinkClosed)) {
		l.breaker.Abort(p)
		if w.ctx.Err() == nil {
			w.fail(pipeline.ErrSinkClosed)
		}
		return 0, false
	}
	verdict := err
	if n == 0 && !b.due && b.place == 0 && pipeline.IsRefusal(err) {
		accepted, other := w.compare(p)
		if accepted {
			l.failed(head, began, err)
			return 0, w.alone(began, err)
		}
		verdict = cmp.Or(other, err)
	}
	// That of an event which stepped aside since others were accepted says nothing of the destination.
	aside := b.due && (head.trouble.Alone || !pipeline.IsRefusal(err))
	l.breaker.Leave(p, head.number, aside, verdict)
	if n > 0 {
		w.accepted(b, n, began)
	} else {
		l.failed(head, began, err)
		ok = w.refused(b, p, began, err)
		l.breaker.Nudge()
	}
	// Where another was tried in place of the first one and answered, the destination works, but for the first one.
	if ok && b.place > 0 && !pipeline.IsUnavailable(err) && !pipeline.IsGone(err) && !pipeline.IsDenied(err) {
		ok = w.avoid(began)
	}
	return n, ok
}

// compare tries others in place of the queue's first event, which was refused again and again, with the pass of that one. When one is accepted, it
// gives the pass back. other is what the destination says of itself by its answers.
func (w *worker) compare(p breaker.Pass) (accepted bool, other error) {
	l := w.lane
	others := l.queues.compared(w.queue)
	if l.ledger.inOrder {
		return false, nil // the destination must not hold anything beyond what it lacks
	}
	for _, b := range others {
		if l.stop.halted() || !l.breaker.Another(w.ctx) {
			return false, nil
		}
		d, began := b.of[0], time.Now()
		n, err := w.hand(b)
		switch {
		case n > 0:
			l.breaker.Leave(p, d.number, false, nil)
			w.accepted(b, n, began)
			return true, nil
		case pipeline.IsUnavailable(err), pipeline.IsGone(err):
			return false, err
		case w.ctx.Err() != nil, errors.Is(err, pipeline.ErrSinkClosed):
			return false, nil //nolint:nilerr // the queue's next attempt meets it too
		}
		l.failed(d, began, err)
		l.breaker.Note(d.number, err)
	}
	return false, nil
}

// logger is that of the queue. It is made when it is needed, for most queues have nothing to say.
func (w *worker) logger() *zerolog.Logger {
	log := w.lane.log
	if account := w.queue.id.account; account != "" {
		log = log.With().Str("account", account).Logger()
	}
	return &log
}

// hand gives a batch to the sink and returns how many of it, from the front, were accepted, or why none was.
func (w *worker) hand(b batch) (int, error) {
	l := w.lane
	w.records = w.records[:0]
	for i, d := range b.of {
		record, err := l.anonymizer.Record(d.record)
		if err != nil {
			if i == 0 {
				return 0, pipeline.Permanent(err)
			}
			break
		}
		w.records = append(w.records, record)
	}
	n, err := l.sink.Deliver(w.ctx, w.records)
	clear(w.records)
	switch {
	case n > 0:
		return n, nil
	case err == nil:
		return 0, errNothingAccepted
	}
	return 0, err
}

var errNothingAccepted = errors.New("the sink accepted nothing and did not say why")

// accepted records that the sink has accepted the first n events of a batch.
func (w *worker) accepted(b batch, n int, began time.Time) {
	l, now := w.lane, time.Now()
	for _, d := range b.of[:n] {
		l.metrics.latency.Observe(now.Sub(d.at).Seconds())
	}
	l.metrics.delivered.Add(float64(n))
	l.stats.delivered(now, b.of[:n])
	l.traced(b.of[:n], began, now, nil)
	if head := b.of[0]; head.trouble != nil {
		w.logger().Info().Str("id", head.record.ID).Int("attempts", head.trouble.Attempts+1).Msg("sink accepted an event it had refused")
	}
	w.settle(b, n)
}

// settle takes the first n events of a batch off their queue: they are done.
func (w *worker) settle(b batch, n int) {
	l := w.lane
	l.queues.remove(w.queue, b, n)
	l.ledger.settle(b.of[:n])
	l.metrics.inFlight.Set(float64(l.ledger.inHand()))
	for _, d := range b.of[:n] {
		if d.trouble != nil {
			l.schedule.Settled(w.ctx, d.trouble)
		}
	}
}

// await waits until an event may be tried again that was refused: at its own time or, where everything behind it waits for it,
// when the destination fails as a whole or has recovered, but not before the time that the destination asked for. It reports false
// if ctx ended or draining started before.
func (w *worker) await(t *schedule.Retry) bool {
	l := w.lane
	for {
		at, changed := t.Next, (<-chan struct{})(nil)
		if l.queues.strict {
			var premature bool
			if premature, changed = l.breaker.Premature(t.Last); premature {
				at = t.Floor
			}
		}
		wait := time.Until(at)
		if wait <= 0 {
			return true
		}
		if !clock.Await(w.ctx, l.stop.drain, changed, wait) {
			return false
		}
	}
}

// sumUp puts the digest in the place of a mark. It waits while the journal cannot be read, which is no fault of the sink. some is false
// if there is nothing to send, ok if the mark is to stay for the next start.
func (w *worker) sumUp(d *delivery) (some, ok bool) {
	l := w.lane
	for said := false; ; said = true {
		record, err := l.digester.Make(w.ctx, d.record, d.at)
		if err == nil {
			if len(record.Line) == 0 {
				return false, true
			}
			d.record, d.heal = record, false
			return true, true
		}
		if w.ctx.Err() != nil {
			return false, false
		}
		if !said {
			w.logger().Warn().Err(err).Str("id", d.record.ID).Msg("digest cannot be made, for the journal cannot be read; waiting")
		}
		if !l.stop.pause(w.ctx) {
			return false, false
		}
	}
}
