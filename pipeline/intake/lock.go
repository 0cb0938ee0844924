package intake

import (
	"context"
	"sync"
)

// A ctxLock is a lock that a context can interrupt. It serializes payloads, CatchUp and the steps of a reconciliation.
type ctxLock struct {
	token chan struct{} // full while the lock is taken

	mu       sync.Mutex
	deferred []func() // the next holder runs these first
}

// runNext makes the next holder of the lock run f first.
func (c *ctxLock) runNext(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deferred = append(c.deferred, f)
}

// begin runs the deferred functions, once the lock is taken.
func (c *ctxLock) begin() (release func()) {
	c.mu.Lock()
	deferred := c.deferred
	c.deferred = nil
	c.mu.Unlock()
	for _, f := range deferred {
		f()
	}
	return func() { <-c.token }
}

// acquire takes the lock, which may block while a payload waits for the journal. A free lock is taken even if ctx has ended.
// If ctx ends while the lock is taken, acquire returns the cause.
func (in *Intake) acquire(ctx context.Context) (release func(), err error) {
	select {
	case in.lock.token <- struct{}{}:
		return in.lock.begin(), nil
	default:
	}
	select {
	case in.lock.token <- struct{}{}:
		return in.lock.begin(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// cleanUp runs f under the lock. If ctx ends while the lock is taken, the next holder runs f first.
func (in *Intake) cleanUp(ctx context.Context, f func()) {
	release, err := in.acquire(ctx)
	if err != nil {
		in.lock.runNext(f)
		return
	}
	defer release()
	f()
}
