package intake

import (
	"context"
	"errors"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A backlog counts what an intake has queued and how much of it is on disk. Both happen in the same order. It is safe
// for concurrent use.
type backlog struct {
	mu      sync.Mutex
	queued  int64
	written int64
	highest uint64 // the highest number in the journal of what is written
	failed  error  // why the rest will not be written
	waiters []waiter
}

type waiter struct {
	target int64 // a count of written items
	done   chan<- backlogResult
}

type backlogResult struct {
	number uint64
	err    error
}

// add counts an item that is about to be queued, and returns its position.
func (b *backlog) add() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued++
	return b.queued
}

// undo takes back the last add, whose item could not be queued.
func (b *backlog) undo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued--
	b.wake()
}

// wrote counts an item that is on disk, or that failed for good.
func (b *backlog) wrote(number uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written++
	b.highest = max(b.highest, number)
	if err != nil && !errors.Is(err, journal.ErrTooLarge) { // this concerns one item only
		b.failed = err
	}
	b.wake()
}

func (b *backlog) wake() {
	left := b.waiters[:0]
	for _, w := range b.waiters {
		if b.written < min(w.target, b.queued) {
			left = append(left, w)
			continue
		}
		w.done <- backlogResult{b.highest, b.failed}
	}
	b.waiters = left
}

// done returns how many items are on disk.
func (b *backlog) done() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// begin returns a channel that receives a value once all items queued so far are on disk. Its number is the highest
// number of any item, or 0 if nothing was ever queued.
func (b *backlog) begin() <-chan backlogResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make(chan backlogResult, 1)
	b.waiters = append(b.waiters, waiter{b.queued, done})
	b.wake()
	return done
}

// wait blocks until all items that are queued now are on disk. If ctx ends first, it returns the cause.
func (b *backlog) wait(ctx context.Context) (number uint64, err error) {
	return awaitBacklog(ctx, b.begin())
}

func awaitBacklog(ctx context.Context, done <-chan backlogResult) (number uint64, err error) {
	select {
	case r := <-done:
		return r.number, r.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
