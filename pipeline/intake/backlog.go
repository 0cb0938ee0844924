package intake

import (
	"context"
	"errors"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A backlog counts what an intake has queued, and what of it is on disk, which is so in the same order. It is safe for use by several goroutines.
type backlog struct {
	mu      sync.Mutex
	queued  int64
	written int64
	highest uint64 // number that was given to any of it
	failed  error  // why the rest will not be written
	waiters []waiter
}

type waiter struct {
	target int64 // of what is written
	done   chan<- reached
}

type reached struct {
	number uint64
	err    error
}

// add counts one that is about to be queued, and returns its position.
func (b *backlog) add() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued++
	return b.queued
}

// undo says that the one that was added last could not be queued.
func (b *backlog) undo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued--
	b.wake()
}

// wrote counts one that is on disk, or never will be.
func (b *backlog) wrote(number uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written++
	b.highest = max(b.highest, number)
	if err != nil && !errors.Is(err, journal.ErrTooLarge) { // which is that of one
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
		w.done <- reached{b.highest, b.failed}
	}
	b.waiters = left
}

// done returns how many are on disk.
func (b *backlog) done() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// begin returns what tells when all that is queued now is on disk. Number is then the highest that any of it has, 0 if nothing was ever queued.
func (b *backlog) begin() <-chan reached {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make(chan reached, 1)
	b.waiters = append(b.waiters, waiter{b.queued, done})
	b.wake()
	return done
}

// wait returns when all that is queued at the time of the call is on disk, or with the cause of the end of ctx.
func (b *backlog) wait(ctx context.Context) (number uint64, err error) {
	return await(ctx, b.begin())
}

func await(ctx context.Context, done <-chan reached) (number uint64, err error) {
	select {
	case r := <-done:
		return r.number, r.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
