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

// maxHandover bounds the records per call of Deliver.
const maxHandover = 1000

// worker delivers the events of one queue in order.
type worker struct {
	lane  *Lane
	ctx   context.Context //nolint:containedctx // the lane's context; a worker does not outlive it
	queue *queue
	fail  context.CancelCauseFunc // ends the lane

	records []pipeline.Record // reused buffer for Deliver
}

// run delivers the queue until it is empty, ctx ends, or an event has to wait while draining.
func (w *worker) run() {
	l := w.lane
	for size := maxHandover; ; {
		b, ok := l.queues.next(w.queue, size, l.breaker.Failing())
		if !ok {
			return
		}
		n, ok := w.deliver(b)
		if !ok {
			l.queues.leave(w.queue)
			return
		}
		if n > 0 { // do not offer hundreds to a sink that takes one at a time
			size = min(2*n, maxHandover)
		}
	}
}

// deliver makes one attempt with a batch and returns how many events the sink accepted. It reports false if the queue's
// events must stay for the next start.
func (w *worker) deliver(b batch) (int, bool) {
	l, head := w.lane, b.of[0]
	if l.stop.halted() || head.retry != nil && !b.due && !w.await(head.retry) {
		return 0, false
	}
	if head.batch {
		if some, ok := w.makeDigest(head); !ok || !some {
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
	n, err := w.handOver(b)
	_, mustRecord := pipeline.RetryDelay(err)
	mustRecord = mustRecord || pipeline.IsGone(err) // this must be recorded even if ctx has ended
	if n == 0 && (w.ctx.Err() != nil && !mustRecord || errors.Is(err, pipeline.ErrSinkClosed)) {
		l.breaker.Abort(p)
		if w.ctx.Err() == nil {
			w.fail(pipeline.ErrSinkClosed)
		}
		return 0, false
	}
	verdict := err
	if n == 0 && !b.due && b.index == 0 && pipeline.IsRefusal(err) {
		accepted, other := w.tryOthers(p)
		if accepted {
			l.failed(head, began, err)
			return 0, w.deferAlone(began, err)
		}
		verdict = cmp.Or(other, err)
	}
	// A failure of a deferred event says nothing about the destination, if others were accepted since.
	deferred := b.due && (head.retry.Alone || !pipeline.IsRefusal(err))
	l.breaker.Leave(p, head.number, deferred, verdict)
	if n > 0 {
		w.accepted(b, n, began)
	} else {
		l.failed(head, began, err)
		ok = w.handleFailure(b, p, began, err)
		l.breaker.WakeWaiters()
	}
	// If another event was tried in position of the first one and got an answer, the destination works, apart from the
	// first one.
	if ok && b.index > 0 && !pipeline.IsUnavailable(err) && !pipeline.IsGone(err) && !pipeline.IsDenied(err) {
		ok = w.deferHead(began)
	}
	return n, ok
}

// tryOthers tries others in position of the queue's first event, which was refused repeatedly, with its pass. If one is
// accepted, compare ends the pass. other is what the answers say about the destination.
func (w *worker) tryOthers(p breaker.Pass) (accepted bool, other error) {
	l := w.lane
	others := l.queues.alternatives(w.queue)
	if l.ledger.inOrder {
		return false, nil // the destination must not hold anything after what it lacks
	}
	for _, b := range others {
		if l.stop.halted() || !l.breaker.EnterMore(w.ctx) {
			return false, nil
		}
		d, began := b.of[0], time.Now()
		n, err := w.handOver(b)
		switch {
		case n > 0:
			l.breaker.Leave(p, d.number, false, nil)
			w.accepted(b, n, began)
			return true, nil
		case pipeline.IsUnavailable(err), pipeline.IsGone(err):
			return false, err
		case w.ctx.Err() != nil, errors.Is(err, pipeline.ErrSinkClosed):
			return false, nil //nolint:nilerr // the queue's next attempt fails in the same way
		}
		l.failed(d, began, err)
		l.breaker.NoteRefusal(d.number, err)
	}
	return false, nil
}

// logger returns the logger of the queue. It is created on demand, since most queues log nothing.
func (w *worker) logger() *zerolog.Logger {
	log := w.lane.log
	if account := w.queue.id.account; account != "" {
		log = log.With().Str("account", account).Logger()
	}
	return &log
}

// handOver passes a batch to the sink. It returns how many events, from the front, were accepted, or why none was.
func (w *worker) handOver(b batch) (int, error) {
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
	l.reportStages(b.of[:n], began, now, nil)
	if head := b.of[0]; head.retry != nil {
		w.logger().Info().Str("id", head.record.ID).Int("attempts", head.retry.Attempts+1).Msg("sink accepted an event it had refused")
	}
	w.settle(b, n)
}

// settle takes the first n events of a batch off their queue as done.
func (w *worker) settle(b batch, n int) {
	l := w.lane
	l.queues.remove(w.queue, b, n)
	l.ledger.settle(b.of[:n])
	l.home.store.KeepUp()
	l.metrics.inFlight.Set(float64(l.ledger.inHand()))
	for _, d := range b.of[:n] {
		if d.retry != nil {
			l.schedule.Settled(w.ctx, d.retry)
		}
	}
}

// await waits until a refused event may be tried again: at its own time or, if it blocks everything behind it, when the
// destination is down or has recovered, but not before a time that the destination asked for. It reports false if ctx
// ends or draining starts first.
func (w *worker) await(t *schedule.Retry) bool {
	l := w.lane
	for {
		at, changed := t.Next, (<-chan struct{})(nil)
		if l.queues.strict {
			var early bool
			if early, changed = l.breaker.MayRetryEarly(t.Last); early {
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

// makeDigest replaces a batch by its digest. It waits while the journal cannot be read, which is not the sink's fault. some
// is false if there is nothing to send, ok is true unless the batch must stay for the next start.
func (w *worker) makeDigest(d *delivery) (some, ok bool) {
	l := w.lane
	for logged := false; ; logged = true {
		record, err := l.digester.Make(w.ctx, d.record, d.at)
		if err == nil {
			if len(record.Line) == 0 {
				return false, true
			}
			d.record, d.batch = record, false
			return true, true
		}
		if w.ctx.Err() != nil {
			return false, false
		}
		if !logged {
			w.logger().Warn().Err(err).Str("id", d.record.ID).Msg("digest cannot be made, because the journal cannot be read; waiting")
		}
		if !l.stop.pause(w.ctx) {
			return false, false
		}
	}
}
