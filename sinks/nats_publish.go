package sinks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// How much one Deliver takes, and how long it waits for the stream.
const (
	natsBatchRecords = pipeline.MaxBatch
	natsBatchLeast   = 8 // fewer are faster one by one
	natsBatchBytes   = 4 << 20
	natsAckTimeout   = 10 * time.Second
)

var (
	errNoAnswer = errors.New("no answer in time")
	errLost     = errors.New("the connection was lost before the answer came")
)

type natsSink struct {
	subject string
	stream  jetstream.StreamConfig
	secrets []secret.String
	dial    func(context.Context) (*nats.Conn, error)
	link    *link
	attempt func(pipeline.Attempt)
	timeout time.Duration      // how long to wait for an answer of the server
	stop    context.CancelFunc // ends what Open began
	revive  func() error       // nil: the server looks after itself

	gate  chan struct{} // holds one token while route is in use
	route route

	closing chan struct{} // closed by Close
	mu      sync.Mutex    // guards closed, and work against a Close under way
	closed  bool
	work    sync.WaitGroup
}

// start runs f in a goroutine that Close waits for. It reports false when the sink is closed.
func (s *natsSink) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// Deliver implements [pipeline.Sink]. The client may hold its lock for as long as a dial or a write takes, whatever the
// context says; so the work is done in a goroutine, which Deliver leaves behind when its context ends. What that still
// publishes is refused when it comes again, for it carries the same id.
func (s *natsSink) Deliver(ctx context.Context, records []pipeline.Record) (accepted int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	start := time.Now()
	defer func() { takeDown(s.attempt, s.link.server, start, records, accepted, err) }()
	messages, err := s.messages(records)
	if err != nil {
		return 0, pipeline.Permanent(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		accepted int
		err      error
	}
	done := make(chan result, 1)
	if !s.start(func() {
		accepted, err := s.publish(ctx, messages)
		done <- result{accepted, err}
		if s.revive != nil && errors.Is(err, errNoAnswer) { // as after a full disk
			if err := s.revive(); err != nil {
				s.link.log.Debug().Err(err).Msg("NATS server cannot be started anew yet")
			}
		}
	}) {
		return 0, fmt.Errorf("publish event %s: %w", records[0].ID, errClosed)
	}
	select {
	case r := <-done:
		return r.accepted, whole(r.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.closing:
		err = errClosed
	}
	return 0, fmt.Errorf("publish event %s to %s: %w", records[0].ID, s.link.server, err)
}

// messages makes one message of each record that goes into one call.
func (s *natsSink) messages(records []pipeline.Record) ([]*nats.Msg, error) {
	records = records[:min(len(records), natsBatchRecords)]
	messages := make([]*nats.Msg, 0, len(records))
	var size int
	var subject string
	for i, r := range records {
		size += len(r.Line)
		if len(messages) > 0 && size > natsBatchBytes {
			break
		}
		if i == 0 || r.Provider != records[i-1].Provider || r.Type != records[i-1].Type {
			var err error
			if subject, err = expand(s.subject, r); err != nil {
				if len(messages) > 0 {
					break // Its turn to fail comes when it is the first.
				}
				return nil, fmt.Errorf("publish event %s: %w", r.ID, err)
			}
		}
		messages = append(messages, &nats.Msg{
			Subject: subject, Data: r.Line, Header: nats.Header{jetstream.MsgIDHeader: {messageID(r)}},
		})
	}
	return messages, nil
}

// messageID is what the stream refuses a second time: the event's id, or, since a replay is to be stored again, that of the
// replay.
func messageID(r pipeline.Record) string {
	if r.Origin == pipeline.OriginReplay {
		return r.ID + "/replay/" + strconv.FormatUint(r.Seq, 10)
	}
	return r.ID
}

// publish publishes messages in order and returns how many of them, from the front, the stream has.
func (s *natsSink) publish(ctx context.Context, messages []*nats.Msg) (int, error) {
	id := messages[0].Header.Get(jetstream.MsgIDHeader)
	r, err := s.connect(ctx)
	if err != nil {
		return 0, fmt.Errorf("publish event %s: %w", id, err)
	}
	if r.batches && len(messages) >= natsBatchLeast {
		err := s.commit(ctx, r.nc, messages)
		if err == nil {
			return len(messages), nil
		}
		// When the batch is refused as a whole, most often because the server knows one of the ids, the messages are
		// published one by one, so that each gets an answer of its own.
		refusal, refused := errors.AsType[*jetstream.APIError](err)
		if !refused && !errors.Is(err, nats.ErrMaxPayload) {
			if errors.Is(err, nats.ErrNoResponders) {
				s.forget(ctx)
			}
			return 0, s.explain("publish event "+id, err)
		}
		if refused && refusal.ErrorCode == codeBatchDisabled {
			s.forget(ctx)
		}
	}
	for i, m := range messages {
		if err := s.publishOne(ctx, r.js, m); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// publishOne waits until the stream has the message. That it had it before is as good.
func (s *natsSink) publishOne(ctx context.Context, js jetstream.JetStream, m *nats.Msg) error {
	ctx, cancel := s.patience(ctx)
	defer cancel()
	_, err := js.PublishMsg(ctx, m)
	if err == nil {
		return nil
	}
	err = cause(ctx, err)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		s.forget(ctx)
	}
	return s.explain("publish event "+m.Header.Get(jetstream.MsgIDHeader), err)
}

// commit publishes messages as one atomic batch.
func (s *natsSink) commit(ctx context.Context, nc *nats.Conn, messages []*nats.Msg) error {
	ctx, cancel := s.patience(ctx)
	defer cancel()
	return pipeline.PublishBatch(ctx, nc, messages)
}

// patience bounds the wait for one answer of the server, which does not come when the connection is lost.
func (s *natsSink) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, ended := s.link.follow(ctx)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w (%v)", errNoAnswer, s.timeout))
	return ctx, func() {
		cancel()
		ended()
	}
}

// cause returns why ctx ended, or err when it has not.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// explain says in one line what went wrong and, where it is known, what to do, and marks what no retry can mend.
func (s *natsSink) explain(op string, err error) error {
	err = redact(err, s.secrets)
	var limit *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return pipeline.Permanent(fmt.Errorf("%s to %s: it is larger than the server takes, raise max_payload there: %w",
			op, s.link.server, err))
	case errors.As(err, &limit) && limit.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return pipeline.Permanent(fmt.Errorf("%s: it is larger than stream %s takes, raise its max_msg_size: %w",
			op, s.stream.Name, err))
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w", op, s.link.notConnected())
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
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.closing)
		s.stop()
	}
	s.work.Wait()
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	s.link.end()
	if s.route.nc != nil {
		s.route.nc.Close()
	}
	return nil
}
