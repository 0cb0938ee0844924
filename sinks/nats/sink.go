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

// How much one Deliver takes, and how long it waits for an answer.
const (
	maxRecords = 1000
	ackTimeout = 10 * time.Second
	// maxUnanswered is how many calls in a row may get no answer before the connection is made again: it may have lost what
	// answers come by.
	maxUnanswered = 3
)

var (
	errNoAnswer = errors.New("no answer in time")
	errLost     = errors.New("the connection was lost before the answer came")
	errWorn     = errors.New("the server has left too many messages unanswered")
)

type sink struct {
	subjects subjects
	stream   jetstream.StreamConfig
	dial     func(context.Context) (*nats.Conn, error)
	link     *link
	attempt  outcome.AttemptLog
	timeout  time.Duration // how long to wait for an answer of the server
	own      *ownServer    // nil: the server is not relay's own
	life     life

	gate  chan struct{} // holds one token while route is in use
	route route

	unproven atomic.Bool // what the stream holds, if anything, would not be known after a power cut
	careful  atomic.Bool // a record was not accepted since one was: they go one at a time, for the stream may be there again in the middle of many
}

// ownServer is what only relay's own server has.
type ownServer struct {
	revive func() error // may be nil
	store  Store        // may be nil
}

// life is the time between Open and Close.
type life struct {
	closing chan struct{} // closed by end
	mu      sync.Mutex    // guards closed, and work against an end under way
	closed  bool
	work    sync.WaitGroup
	stop    context.CancelFunc // ends what Open began
}

// start runs f in a goroutine that end waits for. It reports false when the end has come.
func (l *life) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(f)
	return true
}

// end begins the end, the first time it is called.
func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
}

// Together implements [pipeline.Together].
func (*sink) Together() bool { return true }

// Deliver implements [pipeline.Sink]. The client may hold its lock for as long as a dial or a write takes, whatever the
// context says; so the work is done in a goroutine, which Deliver leaves behind when its context ends. What that still
// publishes is refused when it comes again, for it carries the same id.
func (s *sink) Deliver(ctx context.Context, records []pipeline.Record) (accepted int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	records = records[:min(len(records), maxRecords)]
	start := time.Now()
	defer func() { s.attempt.AddBatch(s.link.server, start, records, accepted, err) }()
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
	return 0, fmt.Errorf("publish event %s to %s: %w", records[0].ID, s.link.server, err)
}

// recover does what may help when no answer comes, and returns err with what came of that.
func (s *sink) recover(ctx context.Context, err error) error {
	if !errors.Is(err, errNoAnswer) {
		return err
	}
	s.link.unanswered()
	s.forget(ctx)                            // the stream may have been changed
	if s.own != nil && s.own.revive != nil { // as after a full disk
		if failed := s.own.revive(); failed != nil {
			return fmt.Errorf("%w: %w", err, failed)
		}
	}
	return err
}

// Close ends what is under way and closes the connection. Nothing waits in the client to be sent, for every event is
// acknowledged before Deliver counts it. It waits for a dial or a write under way, at most some seconds.
func (s *sink) Close() error {
	s.life.end()
	s.life.stop()
	s.life.work.Wait()
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	s.link.end()
	if s.route.nc != nil {
		s.route.nc.Close()
	}
	return nil
}
