package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
)

// stopper tells a lane to stop.
type stopper struct {
	drain     chan struct{} // closed by Drain
	drainOnce sync.Once
	halt      chan struct{} // closed by Stop
	haltOnce  sync.Once
}

func newStopper() *stopper {
	return &stopper{drain: make(chan struct{}), halt: make(chan struct{})}
}

func (s *stopper) draining() bool { return isClosed(s.drain) }

func (s *stopper) halted() bool { return isClosed(s.halt) }

// pause waits a second before a retry. It reports false if ctx ends or draining starts first.
func (s *stopper) pause(ctx context.Context) bool { return clock.Await(ctx, s.drain, nil, time.Second) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
