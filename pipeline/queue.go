package pipeline

import (
	"cmp"
	"context"
	"slices"
)

// A queueID names a queue of events that are delivered one after the other: all those of an account or, where their order does not
// matter, one of several queues of it, which take one event after the other from those that wait.
type queueID struct {
	account string
	n       int
}

// anyConcurrency is how many events of an account are delivered at a time by an unordered lane without a limit.
const anyConcurrency = 16

// idle is a queue of the account that has no worker, or one of the others if there are enough: in order there is only one. l.mu is held.
func (l *Lane) idle(account string) queueID {
	if l.cfg.Unordered {
		for n := range cmp.Or(l.cfg.Concurrency, anyConcurrency) {
			if _, running := l.queues[queueID{account, n}]; !running {
				return queueID{account, n}
			}
		}
	}
	return queueID{account: account}
}

// employ sees to it that the queue has a worker. l.mu is held.
func (l *Lane) employ(ctx context.Context, w *worker, id queueID) {
	if _, running := l.queues[id]; !running {
		l.queues[id] = nil
		l.work.Go(func() { w.run(ctx, id) })
	}
}

// A batch is what a worker hands over at a time.
type batch struct {
	of  []*delivery
	due bool // of[0] stepped aside before, and its time has come
	// second is true when of[0] is the queue's second event, which is tried in place of the first: that one may be why the
	// destination does not answer.
	second bool
}

// next returns what the queue's worker is to hand over, that many at most, or ends it if there is nothing.
func (l *Lane) next(id queueID, most int) (batch, bool) {
	state, _ := l.gate.now()
	down := !state.DownSince.IsZero()
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiting := l.waiting[id.account]; len(waiting) > 0 && len(l.queues[id]) == 0 && !l.left[id.account] {
		l.queues[id], l.waiting[id.account] = waiting[:1:1], waiting[1:]
	}
	queue, due := l.queues[id], l.due[id]
	switch {
	case len(due) > 0 && (!down || len(queue) == 0):
		return batch{of: due[:1:1], due: true}, true
	case len(queue) == 0:
		delete(l.queues, id)
		return batch{}, false
	}
	head, n := queue[0], 1
	if down || head.trouble != nil {
		if !l.cfg.Strict && head.probes >= stepAside && head.probes%2 == 1 && len(queue) > 1 && queue[1].trouble == nil {
			return batch{of: queue[1:2:2], second: true}, true
		}
		return batch{of: queue[:1:1]}, true
	}
	for n < min(len(queue), most) && queue[n].trouble == nil {
		n++
	}
	return batch{of: queue[:n:n]}, true
}

// abandon leaves the queue to the next start.
func (l *Lane) abandon(id queueID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.queues, id)
	delete(l.due, id)
	l.left[id.account] = true
}

// settle takes the first n events of a batch off their queue, and acknowledges them.
func (l *Lane) settle(ctx context.Context, id queueID, b batch, n int) {
	l.remove(id, b, n)
	for _, d := range b.of[:n] {
		if d.trouble == nil {
			continue
		}
		if d.trouble.Aside {
			l.mu.Lock()
			delete(l.aside, d.record.Seq)
			l.remind(d.record.Seq)
			l.countRetries()
			l.mu.Unlock()
		}
		l.forget(ctx, d.record.Seq)
	}
}

func (l *Lane) remove(id queueID, b batch, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch queue := l.queues[id]; {
	case b.due:
		l.due[id] = l.due[id][1:]
		return
	case b.second:
		l.queues[id] = slices.Delete(slices.Clone(queue), 1, 2)
	default:
		l.queues[id] = queue[n:]
	}
	for _, d := range b.of[:n] {
		l.ack(d.msg)
		delete(l.held, d.record.Seq)
		l.remind(d.record.Seq)
	}
	l.journal.metrics.InFlight.WithLabelValues(l.cfg.Sink).Set(float64(len(l.held)))
}
