package delivery

import (
	"cmp"
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// A queueID names a queue of events that are delivered one after the other: all those of an account or, where their order does not
// matter, one of several queues of it, which take one event after the other from those that wait. A lane that delivers the events of all accounts
// together has one queue, of no account.
type queueID struct {
	account string
	n       int
}

// anyConcurrency is how many events of an account are delivered at a time by an unordered lane without a limit.
const anyConcurrency = 16

// spareWorkers is how many workers of a lane wait for the next event.
const spareWorkers = 64

// A queue is a worker's. It is there while it has one.
type queue struct {
	id     queueID
	events []*delivery // oldest first
	due    []*delivery // which stepped aside, and whose time has come
}

// shape is how a lane splits its events into queues.
type shape struct {
	strict      bool // nothing passes an event that fails
	unordered   bool
	together    bool
	concurrency int
}

// queues hold what a lane has in hand, and know who works on it.
type queues struct {
	shape
	work func(*queue) // delivers what a queue has

	mu      sync.Mutex
	running map[queueID]*queue
	waiting map[string][]*delivery // by account: events in no queue yet, of an unordered lane
	left    map[string]bool        // accounts whose events stay for the next start
	spare   chan *queue            // for workers that wait
	spares  int
	closed  bool
	workers sync.WaitGroup
	quiet   chan struct{} // closed when no queue is running; nil if nobody waits
}

func newQueues(s shape) *queues {
	return &queues{
		shape: s, running: make(map[queueID]*queue), waiting: make(map[string][]*delivery), left: make(map[string]bool),
		spare: make(chan *queue, spareWorkers),
	}
}

// account is the one under which the events of an account are queued.
func (q *queues) account(name string) string {
	if q.together {
		return ""
	}
	return name
}

// put queues events, in their order. Those of an account that was left stay for the next start: they would overtake others.
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
			q.employ(q.idle(account))
			continue
		case last == nil || last.id.account != account:
			last = q.employ(queueID{account: account})
		}
		last.events = append(last.events, d)
	}
}

// putDue queues an event that stepped aside and whose time has come. It reports false if it stays for the next start.
func (q *queues) putDue(d *delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	account := q.account(d.record.Account)
	if q.left[account] {
		return false
	}
	queue := q.employ(q.idle(account))
	queue.due = append(queue.due, d)
	return true
}

// idle is a queue of the account that has no worker, or one of the others if there are enough: in order there is only one. q.mu is held.
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

// employ sees to it that the queue has a worker. q.mu is held.
func (q *queues) employ(id queueID) *queue {
	if running := q.running[id]; running != nil {
		return running
	}
	fresh := &queue{id: id}
	q.running[id] = fresh
	if q.spares > 0 {
		q.spares--
		q.spare <- fresh // has room for as many as there are spare workers
		return fresh
	}
	q.workers.Go(func() {
		for next := fresh; next != nil; {
			q.work(next)
			next = q.another()
		}
	})
	return fresh
}

// another waits for the next queue that wants a worker. It returns nil if the worker is to end.
func (q *queues) another() *queue {
	q.mu.Lock()
	if q.closed || q.spares >= spareWorkers {
		q.mu.Unlock()
		return nil
	}
	q.spares++
	q.mu.Unlock()
	return <-q.spare
}

// close ends the workers, and returns when they have ended. Nothing is put after it.
func (q *queues) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.spare)
	}
	q.mu.Unlock()
	q.workers.Wait()
}

// end takes out a queue whose worker stops working on it. q.mu is held.
func (q *queues) end(queue *queue) {
	delete(q.running, queue.id)
	if len(q.running) == 0 && q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
}

// idleNow returns nil if no queue has a worker, else a channel that is closed when it is so.
func (q *queues) idleNow() <-chan struct{} {
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

// A batch is what a worker hands over at a time.
type batch struct {
	of  []*delivery
	due bool // of[0] stepped aside before, and its time has come
	// place is that of of[0] in the queue, if it is tried in place of the first one: that may be why the destination does not answer, or refuses.
	place int
}

// next returns what the queue's worker is to hand over, that many at most, or ends it if there is nothing. down says that the destination
// fails as a whole.
func (q *queues) next(queue *queue, most int, down bool) (batch, bool) {
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
	if down || head.trouble != nil {
		if !q.strict && head.probes >= schedule.StepAside && head.probes%2 == 1 && len(events) > 1 && events[1].trouble == nil {
			return batch{of: events[1:2:2], place: 1}, true
		}
		return batch{of: events[:1:1]}, true
	}
	for n < min(len(events), most) && events[n].trouble == nil && !events[n].heal {
		n++ // of a mark the digest is made when its turn has come
	}
	return batch{of: events[:n:n]}, true
}

const (
	// compareEvery is after how many more refusals of a queue's first event others are tried in its place again. It is seldom, and first when later events
	// may pass it, for the order is lost if one is accepted.
	compareEvery = 8
	// compareWith is with how many others the first event is compared at a time.
	compareWith = 3
)

// compared returns others of the queue that are to be tried now, as its first event was refused once more: that shows whose fault it is.
func (q *queues) compared(queue *queue) (others []batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := queue.events
	head, behind := events[0], len(events)-1
	if q.strict || behind == 0 || head.refusals+1 < schedule.StepAside || head.compares > 0 && head.refusals < head.comparedAt+compareEvery {
		return nil
	}
	turn := head.compares
	head.compares, head.comparedAt = turn+1, head.refusals
	for i := range min(compareWith, behind) {
		at := 1 + (turn*compareWith+i)%behind
		if events[at].trouble == nil && !events[at].heal {
			others = append(others, batch{of: events[at : at+1 : at+1], place: at})
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
	case b.place > 0:
		queue.events = slices.Delete(slices.Clone(queue.events), b.place, b.place+1)
	default:
		queue.events = queue.events[n:]
	}
}

// abandon leaves the queue to the next start.
func (q *queues) abandon(queue *queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left[queue.id.account] = true
	q.end(queue)
}

// head is the first event of the queue as a batch.
func (q *queues) head(queue *queue) batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return batch{of: queue.events[:1:1]}
}

// unanswered counts an attempt that was not answered, also for the event in whose place another was tried. before is how many deliveries the
// destination had accepted by then.
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

// refused counts a refusal of an event. It returns how many there were before, and how many deliveries the destination had accepted after the latest of
// these. accepted is how many it is now.
func (q *queues) refused(d *delivery, accepted uint64) (before int, seen uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before, seen = d.refusals, d.accepted
	d.refusals, d.accepted = before+1, accepted
	return before, seen
}

// setTrouble says that an event was refused.
func (q *queues) setTrouble(d *delivery, t *schedule.Retry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.trouble = t
}

// fresh reports whether an account has an event to deliver next that was not refused yet.
func (q *queues) fresh() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, queue := range q.running {
		if len(queue.events) > 0 && queue.events[0].trouble == nil {
			return true
		}
	}
	return false
}
