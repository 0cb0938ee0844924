package socket

import (
	"context"
	"sync"
	"time"
)

// queue holds events that are received and not handled yet, bounded by bytes. It has one producer and one consumer.
type queue struct {
	limit int
	ready chan struct{} // signals an event, or the end
	room  chan struct{} // signals a handled event

	mu         sync.Mutex
	items      []item
	bytes      int // of items and of taken events that are not done
	pending    int // number of those events
	congestion congestion
	closed     bool
}

type item struct {
	event Event
	size  int
}

// congestion is a period in which puts had to wait, once for long or repeatedly.
type congestion struct {
	on      bool
	waiting bool
	waited  time.Time // end of the last wait
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// offer adds an event if it fits. An empty queue accepts an event of any size.
func (q *queue) offer(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > 0 && q.bytes+it.size > q.limit {
		return false
	}
	q.add(it)
	return true
}

// put adds an event and waits for room. If over is closed first, it adds the event anyway, since no received event may
// be dropped.
func (q *queue) put(over <-chan struct{}, it item) {
	for !q.offer(it) {
		select {
		case <-q.room:
		case <-over:
			q.mu.Lock()
			q.add(it)
			q.mu.Unlock()
			return
		}
	}
}

func (q *queue) add(it item) {
	q.items = append(q.items, it)
	q.bytes += it.size
	q.pending++
	wake(q.ready)
}

// wait records that a put starts to wait. It reports whether that starts a new congestion.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	news := !q.congestion.on
	q.congestion.on, q.congestion.waiting = true, true
	return news
}

// waited records that the put waits no longer.
func (q *queue) waited() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.congestion.waiting, q.congestion.waited = false, time.Now()
}

// calm reports the end of a congestion once: nothing had to wait for a while.
func (q *queue) calm(now time.Time) bool {
	const while = 5 * time.Second
	q.mu.Lock()
	defer q.mu.Unlock()
	over := q.congestion.on && !q.congestion.waiting && now.Sub(q.congestion.waited) >= while
	if over {
		q.congestion.on = false
	}
	return over
}

// take waits for events and returns all of them, in buffer. It returns none at the end of the queue or when ctx ends.
func (q *queue) take(ctx context.Context, buffer []item) []item {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			taken := q.items
			q.items = buffer[:0]
			q.mu.Unlock()
			return taken
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// done frees the room of a handled event.
func (q *queue) done(it item) {
	q.mu.Lock()
	q.bytes -= it.size
	q.pending--
	q.mu.Unlock()
	wake(q.room)
}

// end closes the queue for new events.
func (q *queue) end() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	wake(q.ready)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// left returns how many events were never taken, or taken and not done.
func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending
}
