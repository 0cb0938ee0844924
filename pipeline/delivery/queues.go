package delivery

import (
	"cmp"
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// A queueID names a queue, whose events are delivered one after the other. It holds all events of an account. If order
// does not matter, an account has several queues, which share its waiting events. A lane that delivers all accounts
// together has one queue without an account.
type queueID struct {
	account string
	n       int
}

// anyConcurrency bounds the concurrent events of an account in an unordered lane without a limit.
const anyConcurrency = 16

// spareWorkers is how many idle workers of a lane are kept.
const spareWorkers = 64

// A queue is owned by a worker. It exists while it has one.
type queue struct {
	id     queueID
	events []*delivery // oldest first
	due    []*delivery // deferred events that are due
}

// shape describes how a lane splits its events into queues.
type shape struct {
	strict      bool // nothing passes a failing event
	unordered   bool
	together    bool
	concurrency int
}

// queues hold the events that a lane has in hand, and manage its workers.
type queues struct {
	shape
	work func(*queue) // delivers a queue

	mu      sync.Mutex
	running map[queueID]*queue
	waiting map[string][]*delivery // by account, events of an unordered lane that are in no queue yet
	left    map[string]bool        // accounts whose events stay for the next start
	spare   chan *queue            // for idle workers
	spares  int
	closed  bool
	workers sync.WaitGroup
	quiet   chan struct{} // closed when no queue is running; nil: nobody waits
}

func newQueues(s shape) *queues {
	return &queues{
		shape: s, running: make(map[queueID]*queue), waiting: make(map[string][]*delivery), left: make(map[string]bool),
		spare: make(chan *queue, spareWorkers),
	}
}

// account returns the account under which events are queued.
func (q *queues) account(name string) string {
	if q.together {
		return ""
	}
	return name
}

// put queues events in order. Events of an account that was left stay for the next start, or they would overtake
// others.
func (q *queues) put(of []*delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var last *queue
	for _, d := range of {
		account := q.account(d.record.Account)
		switch {
		case q.left[account]:
			continue
		case q.unordered:
			q.waiting[account] = append(q.waiting[account], d)
			q.ensureWorker(q.idle(account))
			continue
		case last == nil || last.id.account != account:
			last = q.ensureWorker(queueID{account: account})
		}
		last.events = append(last.events, d)
	}
}

// putDue queues a deferred event that is due. It reports false if the event stays for the next start.
func (q *queues) putDue(d *delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	account := q.account(d.record.Account)
	if q.left[account] {
		return false
	}
	queue := q.ensureWorker(q.idle(account))
	queue.due = append(queue.due, d)
	return true
}

// idle returns an idle queue of the account, or a busy one if there are enough; an ordered lane has one. q.mu is held.
func (q *queues) idle(account string) queueID {
	if q.unordered {
		for n := range cmp.Or(q.concurrency, anyConcurrency) {
			if _, running := q.running[queueID{account, n}]; !running {
				return queueID{account, n}
			}
		}
	}
	return queueID{account: account}
}

// ensureWorker makes sure that the queue has a worker. q.mu is held.
func (q *queues) ensureWorker(id queueID) *queue {
	if running := q.running[id]; running != nil {
		return running
	}
	fresh := &queue{id: id}
	q.running[id] = fresh
	if q.spares > 0 {
		q.spares--
		q.spare <- fresh // has capacity for all idle workers
		return fresh
	}
	q.workers.Go(func() {
		for next := fresh; next != nil; {
			q.work(next)
			next = q.nextQueue()
		}
	})
	return fresh
}

// nextQueue waits for a queue that needs a worker. It returns nil if the worker must stop.
func (q *queues) nextQueue() *queue {
	q.mu.Lock()
	if q.closed || q.spares >= spareWorkers {
		q.mu.Unlock()
		return nil
	}
	q.spares++
	q.mu.Unlock()
	return <-q.spare
}

// close stops the workers and waits for them. Nothing may be put afterwards.
func (q *queues) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.spare)
	}
	q.mu.Unlock()
	q.workers.Wait()
}

// end removes a queue that its worker leaves. q.mu is held.
func (q *queues) end(queue *queue) {
	delete(q.running, queue.id)
	if len(q.running) == 0 && q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
}

// busy returns nil if no queue has a worker, otherwise a channel that is closed when that is so.
func (q *queues) busy() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.running) == 0 {
		return nil
	}
	if q.quiet == nil {
		q.quiet = make(chan struct{})
	}
	return q.quiet
}

// A batch is what a worker delivers at once.
type batch struct {
	of  []*delivery
	due bool // of[0] was deferred and is due
	// index is the position of of[0] in the queue. It is not 0 if of[0] is tried in place of the first event, which may be
	// why the destination does not respond or refuses.
	index int
}

// next returns what the queue's worker delivers next, at most limit events. If there is nothing, the worker stops. down
// means that the destination is down.
func (q *queues) next(queue *queue, limit int, down bool) (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	account := queue.id.account
	if waiting := q.waiting[account]; len(waiting) > 0 && len(queue.events) == 0 && !q.left[account] {
		queue.events = waiting[:1:1]
		if q.waiting[account] = waiting[1:]; len(waiting) == 1 {
			delete(q.waiting, account)
		}
	}
	events := queue.events
	switch {
	case len(queue.due) > 0 && (!down || len(events) == 0):
		return batch{of: queue.due[:1:1], due: true}, true
	case len(events) == 0:
		q.end(queue)
		return batch{}, false
	}
	head, n := events[0], 1
	if down || head.retry != nil {
		if !q.strict && head.probes >= schedule.DeferAfter && head.probes%2 == 1 && len(events) > 1 && events[1].retry == nil {
			return batch{of: events[1:2:2], index: 1}, true
		}
		return batch{of: events[:1:1]}, true
	}
	for n < min(len(events), limit) && events[n].retry == nil && !events[n].batch {
		n++ // the digest of a batch is made when it is its turn
	}
	return batch{of: events[:n:n]}, true
}

const (
	// compareEvery is the number of further refusals of a queue's first event after which others are tried in its
	// position. It is high, and starts when later events may pass it, since an accepted one breaks the order.
	compareEvery = 8
	// compareWith bounds the events that are tried in its position at a time.
	compareWith = 3
)

// alternatives returns the events to try now, after another refusal of the first event, to find out whose fault it is.
func (q *queues) alternatives(queue *queue) (others []batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := queue.events
	head, behind := events[0], len(events)-1
	if q.strict || behind == 0 || head.refusals+1 < schedule.DeferAfter || head.compares > 0 && head.refusals < head.comparedAt+compareEvery {
		return nil
	}
	turn := head.compares
	head.compares, head.comparedAt = turn+1, head.refusals
	for i := range min(compareWith, behind) {
		at := 1 + (turn*compareWith+i)%behind
		if events[at].retry == nil && !events[at].batch {
			others = append(others, batch{of: events[at : at+1 : at+1], index: at})
		}
	}
	return others
}

// remove takes the first n events of a batch off their queue.
func (q *queues) remove(queue *queue, b batch, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case b.due:
		queue.due = queue.due[1:]
	case b.index > 0:
		queue.events = slices.Delete(slices.Clone(queue.events), b.index, b.index+1)
	default:
		queue.events = queue.events[n:]
	}
}

// leave leaves the queue to the next start.
func (q *queues) leave(queue *queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left[queue.id.account] = true
	q.end(queue)
}

// head returns the first event of the queue as a batch.
func (q *queues) head(queue *queue) batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return batch{of: queue.events[:1:1]}
}

// unanswered counts an attempt without an answer, also for the event in whose position another was tried. before is how
// many deliveries the destination had accepted by then.
func (q *queues) unanswered(queue *queue, d *delivery, before uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.probes++; d.probes == 1 {
		d.before = before
	}
	if len(queue.events) > 0 && queue.events[0] != d {
		queue.events[0].probes++
	}
}

// refused counts a refusal of an event. It returns the number of earlier ones, and how many deliveries the destination
// had accepted after the latest of them. accepted is the current number.
func (q *queues) refused(d *delivery, accepted uint64) (before int, seen uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before, seen = d.refusals, d.accepted
	d.refusals, d.accepted = before+1, accepted
	return before, seen
}

// setRetry sets the retry of a refused event.
func (q *queues) setRetry(d *delivery, t *schedule.Retry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.retry = t
}

// fresh reports whether the next event of an account was never refused.
func (q *queues) fresh() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, queue := range q.running {
		if len(queue.events) > 0 && queue.events[0].retry == nil {
			return true
		}
	}
	return false
}
