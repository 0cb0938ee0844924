package socket

import (
	"context"
	"sync"
	"time"
)

// queue holds the events that were received and not yet handled, bounded by their bytes. One goroutine puts, one takes.
type queue struct {
	limit int
	ready chan struct{} // holds a token when there is something to take, or the end
	room  chan struct{} // holds a token when something was handled

	mu      sync.Mutex
	items   []item
	bytes   int // of items and of what was taken and is not yet done
	pending int // how many those are
	jam     jam
	closed  bool
}

type item struct {
	event Event
	size  int
}

// jam is a time in which puts had to wait, once for long or again and again.
type jam struct {
	on      bool
	waiting bool
	waited  time.Time // when the last wait ended
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// offer adds an event if there is room for it. An event larger than the whole queue has room in an empty one.
func (q *queue) offer(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > 0 && q.bytes+it.size > q.limit {
		return false
	}
	q.add(it)
	return true
}

// put adds an event, waiting for room; when over is closed first, it adds it all the same, since nothing received is
// dropped.
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

// wait notes that a put begins to wait, and reports whether that is a new jam.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	news := !q.jam.on
	q.jam.on, q.jam.waiting = true, true
	return news
}

// waited notes that the put waits no longer.
func (q *queue) waited() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jam.waiting, q.jam.waited = false, time.Now()
}

// calm reports, once, that a jam is over: for a while, nothing has had to wait.
func (q *queue) calm(now time.Time) bool {
	const while = 5 * time.Second
	q.mu.Lock()
	defer q.mu.Unlock()
	over := q.jam.on && !q.jam.waiting && now.Sub(q.jam.waited) >= while
	if over {
		q.jam.on = false
	}
	return over
}

// take waits for events and returns all there are, into the emptied buffer. It returns none at the end of the queue,
// or when ctx ends.
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

// done gives back the room of an event that was handled.
func (q *queue) done(it item) {
	q.mu.Lock()
	q.bytes -= it.size
	q.pending--
	q.mu.Unlock()
	wake(q.room)
}

// end marks that nothing will be added.
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
