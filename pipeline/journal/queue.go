package journal

import (
	"context"
	"errors"
	"sync"
)

// The bounds of the queue, which holds new treats while the journal cannot be written, for example on a full disk
// (ENOSPC). Beyond them, Enqueue blocks.
const (
	queueItems = 4096
	queueBytes = 4 << 20
	// batchBytes bounds one append, beside [MaxBatch].
	batchBytes = 4 << 20
)

var errJournalClosed = errors.New("the journal is closed")

// queue holds items that wait to be written, bounded by number and bytes. It has many producers and one consumer.
type queue struct {
	ready chan struct{} // signals an item, or the end

	mu     sync.Mutex
	items  []Item
	bytes  int
	room   chan struct{} // closed when something was taken; nil: nobody waits
	closed bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) put(ctx context.Context, item Item) error {
	size := EntrySize(&item.Entry)
	for {
		q.mu.Lock()
		switch {
		case q.closed:
			q.mu.Unlock()
			return errJournalClosed
		case len(q.items) == 0 || len(q.items) < queueItems && q.bytes+size <= queueBytes:
			q.items = append(q.items, item)
			q.bytes += size
			q.mu.Unlock()
			q.wake()
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for items and returns as many as fit into one append. It reports false when the queue is closed and empty.
func (q *queue) take(into []Item) ([]Item, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			break
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, false
		}
		<-q.ready
	}
	defer q.mu.Unlock()
	n, size := oneAppend(q.items)
	into = append(into, q.items[:n]...)
	left := copy(q.items, q.items[n:])
	clear(q.items[left:])
	q.items, q.bytes = q.items[:left], q.bytes-size
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	return into, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	q.mu.Unlock()
	q.wake()
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// abandon closes the queue and returns the remaining items.
func (q *queue) abandon() []Item {
	q.close()
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.items
	q.items, q.bytes = nil, 0
	return left
}

// oneAppend returns how many items, from the front, fit into one append, and their size. It is at least one if there
// are any.
func oneAppend(items []Item) (n, size int) {
	for n < len(items) && n < MaxBatch {
		next := EntrySize(&items[n].Entry)
		if n > 0 && size+next > batchBytes {
			break
		}
		n, size = n+1, size+next
	}
	return n, size
}
