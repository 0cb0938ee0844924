package sinks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
)

// How much one Deliver takes, and how long it waits for an answer.
const (
	natsRecords    = 1000
	natsAckTimeout = 10 * time.Second
	// natsUnanswered is how many calls in a row may get no answer before the connection is made again: it may have lost what
	// answers come by.
	natsUnanswered = 3
)

var (
	errNoAnswer = errors.New("no answer in time")
	errLost     = errors.New("the connection was lost before the answer came")
	errWorn     = errors.New("the server has left too many messages unanswered")
)

type natsSink struct {
	subjects subjects
	stream   jetstream.StreamConfig
	dial     func(context.Context) (*nats.Conn, error)
	link     *link
	attempt  AttemptLog
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
	store  NATSStore    // may be nil
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
func (*natsSink) Together() bool { return true }

// Deliver implements [pipeline.Sink]. The client may hold its lock for as long as a dial or a write takes, whatever the
// context says; so the work is done in a goroutine, which Deliver leaves behind when its context ends. What that still
// publishes is refused when it comes again, for it carries the same id.
func (s *natsSink) Deliver(ctx context.Context, records []pipeline.Record) (accepted int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	records = records[:min(len(records), natsRecords)]
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
		return 0, fmt.Errorf("publish event %s: %w", records[0].ID, errClosed)
	}
	select {
	case r := <-done:
		return r.accepted, whole(r.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.life.closing:
		err = errClosed
	}
	return 0, fmt.Errorf("publish event %s to %s: %w", records[0].ID, s.link.server, err)
}

// recover does what may help when no answer comes, and returns err with what came of that.
func (s *natsSink) recover(ctx context.Context, err error) error {
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

// publish publishes records in order and returns how many of them, from the front, the stream has.
func (s *natsSink) publish(ctx context.Context, records []pipeline.Record) (int, error) {
	r, err := s.connect(ctx)
	if err != nil {
		s.careful.Store(true)
		return 0, fmt.Errorf("publish event %s: %w", records[0].ID, err)
	}
	ctx, ended := s.link.follow(ctx, r.epoch)
	defer ended()
	window := 1
	if !s.careful.Load() {
		window = s.window(r, records)
	}
	c := newNATSCall(window)
	ctx, over := r.pub.watch(ctx, c, s.timeout)
	defer over()
	err = s.publishAll(ctx, r.pub, c, records)
	if err == nil {
		select {
		case <-c.done:
		case <-ctx.Done():
		}
	}
	n, refused := r.pub.result(c)
	if refused != nil {
		err = refused
	} else if n < len(c.accepted) {
		err = cause(ctx, err)
	} else {
		err = nil
	}
	s.careful.Store(err != nil)
	if n > 0 {
		s.link.answered()
		s.prove(ctx)
		if errors.Is(err, errNoAnswer) {
			return n, err // for the rest, which would wait for as long again
		}
		return n, nil
	}
	if errors.Is(err, nats.ErrNoResponders) {
		s.forget(ctx)
	}
	return 0, s.explain("publish event "+records[0].ID, err)
}

// window is how many of the records, from the front, go into one call: those before one that the stream is sure to refuse, which
// would only make those behind it come twice.
func (s *natsSink) window(r route, records []pipeline.Record) int {
	for i := 1; i < len(records); i++ {
		if r.maxSize > 0 && len(records[i].Line) > int(r.maxSize) || len(records[i].Line) > int(r.pub.nc.MaxPayload()) {
			return i
		}
		if _, err := s.subjects.of(&records[i]); err != nil {
			return i // its turn to fail comes when it is the first
		}
	}
	return len(records)
}

// publishAll publishes the records of the call, until one fails.
func (s *natsSink) publishAll(ctx context.Context, p *publisher, c *natsCall, records []pipeline.Record) error {
	var id, number [1]string
	m := &nats.Msg{Header: nats.Header{jetstream.MsgIDHeader: id[:]}}
	for i := range len(c.accepted) {
		r := &records[i]
		subject, err := s.subjects.of(r)
		if err != nil {
			return err
		}
		m.Subject, m.Data, id[0] = subject, r.Line, messageID(r)
		if s.own != nil && r.Seq > 0 {
			number[0] = strconv.FormatUint(r.Seq, 10)
			m.Header[natsserver.NumberHeader] = number[:]
		}
		if err := p.publish(ctx, c, i, m); err != nil {
			return err
		}
	}
	return nil
}

// messageID is what the stream refuses a second time: the event's id, or, since a replay is to be stored again, that of the
// replay.
func messageID(r *pipeline.Record) string {
	if r.Origin == pipeline.OriginReplay {
		return r.ID + natsserver.ReplaySeparator + strconv.FormatUint(r.Seq, 10)
	}
	return r.ID
}

// patience bounds the wait for one answer of the server, which does not come when the connection is lost.
func (s *natsSink) patience(ctx context.Context, epoch uint64) (context.Context, context.CancelFunc) {
	ctx, ended := s.link.follow(ctx, epoch)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w (%v)", errNoAnswer, s.timeout))
	return ctx, func() {
		cancel()
		ended()
	}
}

// explain says in one line what went wrong and, where it is known, what to do, and marks what no retry can change.
func (s *natsSink) explain(op string, err error) error {
	err = redact(err, s.link.secrets)
	var limit *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return pipeline.WithRefusalCode("max_payload", pipeline.Permanent(fmt.Errorf("%s to %s: it is larger than the server takes, raise max_payload there: %w",
			op, s.link.server, err)))
	case errors.As(err, &limit) && limit.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return pipeline.WithRefusalCode("max_msg_size", pipeline.Permanent(fmt.Errorf("%s: it is larger than stream %s takes, raise its max_msg_size: %w",
			op, s.stream.Name, err)))
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w", op, s.link.notConnected())
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%s to %s: the login lacks a permission: %w", op, s.link.server, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s to %s: nobody answers there: check that JetStream is on and that stream %s exists: %w",
			op, s.link.server, s.stream.Name, err)
	}
	if why := s.link.why(); why != nil && errors.Is(err, errNoAnswer) {
		return fmt.Errorf("%s to %s: %w, after the server said: %w", op, s.link.server, err, why)
	}
	return fmt.Errorf("%s to %s: %w", op, s.link.server, err)
}

// Close ends what is under way and closes the connection. Nothing waits in the client to be sent, for every event is
// acknowledged before Deliver counts it. It waits for a dial or a write under way, at most some seconds.
func (s *natsSink) Close() error {
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
