package intake

import (
	"context"
	"sync"
)

// A turn is a lock that a context can interrupt. It serializes payloads, CatchUp and the steps of a reconciliation.
type turn struct {
	token chan struct{} // full while the turn is taken

	mu       sync.Mutex
	deferred []func() // the next one to take the turn runs these first
}

// later has the next one to take the turn run f first.
func (t *turn) later(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deferred = append(t.deferred, f)
}

// begin runs the deferred functions, once the turn is taken.
func (t *turn) begin() (leave func()) {
	t.mu.Lock()
	deferred := t.deferred
	t.deferred = nil
	t.mu.Unlock()
	for _, f := range deferred {
		f()
	}
	return func() { <-t.token }
}

// enter takes the turn, which may block while a payload waits for the journal. A free turn is taken even if ctx has ended.
// If ctx ends while the turn is taken, enter returns the cause.
func (in *Intake) enter(ctx context.Context) (leave func(), err error) {
	select {
	case in.turn.token <- struct{}{}:
		return in.turn.begin(), nil
	default:
	}
	select {
	case in.turn.token <- struct{}{}:
		return in.turn.begin(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// cleanUp runs f in the turn. If ctx ends while the turn is taken, the next one to take it runs f first.
func (in *Intake) cleanUp(ctx context.Context, f func()) {
	leave, err := in.enter(ctx)
	if err != nil {
		in.turn.later(f)
		return
	}
	defer leave()
	f()
}
