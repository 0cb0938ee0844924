package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Limits of one Deliver.
const (
	maxRecords = 1000
	ackTimeout = 10 * time.Second
	// maxUnanswered is how many consecutive calls may get no reply before the connection is replaced: it may have lost
	// its subscription.
	maxUnanswered = 3
)

var (
	errNoAnswer  = errors.New("no answer in time")
	errLost      = errors.New("the connection was lost before the answer came")
	errExhausted = errors.New("the server has left too many messages unanswered")
)

type sink struct {
	subjects subjects
	stream   jetstream.StreamConfig
	dial     func(context.Context) (*nats.Conn, error)
	conn     *connState
	attempt  outcome.AttemptLog
	timeout  time.Duration // for a reply of the server
	own      *ownServer    // nil: the server is not relay's own
	life     life

	routeLock chan struct{} // has one token while route is in use
	route     route

	unsynced atomic.Bool // after a power failure, it would be unknown what the stream had
	oneByOne atomic.Bool // the last call failed: publish one record at a time, because the stream may recover in the middle of a batch
}

// ownServer has the dependencies that only relay's own server provides.
type ownServer struct {
	revive func() error // may be nil
	store  Store        // may be nil
}

// life manages the goroutines between Open and Close.
type life struct {
	closing chan struct{} // closed by end
	mu      sync.Mutex    // guards closed, and orders start and end
	closed  bool
	work    sync.WaitGroup
	stop    context.CancelFunc // ends the goroutine that Open started
}

// start runs f in a goroutine that Close waits for. It reports false if the sink is closed.
func (l *life) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(f)
	return true
}

// end marks the sink as closed. It may be called several times.
func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
}

// BatchesAccounts implements [pipeline.Batcher].
func (*sink) BatchesAccounts() bool { return true }

// Deliver implements [pipeline.Sink]. The client may hold its lock for as long as a dial or a write takes, whatever the
// context. So a goroutine does the work, and Deliver abandons it when its context ends. The stream drops anything that
// the goroutine still publishes as a duplicate when it is delivered again with the same ID.
func (s *sink) Deliver(ctx context.Context, records []pipeline.Record) (accepted int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	records = records[:min(len(records), maxRecords)]
	start := time.Now()
	defer func() { s.attempt.AddBatch(s.conn.server, start, records, accepted, err) }()
	if _, err := s.subjects.of(&records[0]); err != nil {
		return 0, pipeline.Permanent(fmt.Errorf("publish event %s: %w", records[0].ID, err))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		accepted int
		err      error
	}
	done := make(chan result, 1)
	if !s.life.start(func() {
		accepted, err := s.publish(ctx, records)
		done <- result{accepted, s.recover(ctx, err)}
	}) {
		return 0, fmt.Errorf("publish event %s: %w", records[0].ID, outcome.ErrClosed)
	}
	select {
	case r := <-done:
		return r.accepted, outcome.Unavailable(r.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.life.closing:
		err = outcome.ErrClosed
	}
	return 0, fmt.Errorf("publish event %s to %s: %w", records[0].ID, s.conn.server, err)
}

// recover tries to restore the stream after a missing reply, and returns err with any failure of that.
func (s *sink) recover(ctx context.Context, err error) error {
	if !errors.Is(err, errNoAnswer) {
		return err
	}
	s.conn.unanswered()
	s.forget(ctx)                            // the stream may have been changed
	if s.own != nil && s.own.revive != nil { // as after a full disk
		if failed := s.own.revive(); failed != nil {
			return fmt.Errorf("%w: %w", err, failed)
		}
	}
	return err
}

// Close stops all work and closes the connection. The client has nothing left to send, because Deliver only counts
// acknowledged events. Close waits for a dial or write in progress, at most some seconds.
func (s *sink) Close() error {
	s.life.end()
	s.life.stop()
	s.life.work.Wait()
	s.routeLock <- struct{}{}
	defer func() { <-s.routeLock }()
	s.conn.end()
	if s.route.nc != nil {
		s.route.nc.Close()
	}
	return nil
}
