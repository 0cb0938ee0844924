package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// publish publishes records in order and returns how many of them, from the front, the stream has.
func (s *sink) publish(ctx context.Context, records []pipeline.Record) (int, error) {
	r, err := s.connect(ctx)
	if err != nil {
		s.oneByOne.Store(true)
		return 0, fmt.Errorf("publish event %s: %w", records[0].ID, err)
	}
	ctx, ended := s.conn.follow(ctx, r.epoch)
	defer ended()
	window := 1
	if !s.oneByOne.Load() {
		window = s.window(r, records)
	}
	c := newCall(window)
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
		err = outcome.Cause(ctx, err)
	} else {
		err = nil
	}
	s.oneByOne.Store(err != nil)
	if n > 0 {
		s.conn.answered()
		s.syncFirst(ctx)
		if errors.Is(err, errNoAnswer) {
			return n, err // the remaining records would wait as long again
		}
		return n, nil
	}
	if errors.Is(err, nats.ErrNoResponders) {
		s.forget(ctx)
	}
	return 0, s.explain("publish event "+records[0].ID, err)
}

// window returns how many records, from the front, go into one call: those before the first that the stream is certain
// to refuse. That one would only cause the ones behind it to be published twice.
func (s *sink) window(r route, records []pipeline.Record) int {
	for i := 1; i < len(records); i++ {
		if r.maxSize > 0 && len(records[i].Line) > int(r.maxSize) || len(records[i].Line) > int(r.pub.nc.MaxPayload()) {
			return i
		}
		if _, err := s.subjects.of(&records[i]); err != nil {
			return i // it fails when it is the first of a call
		}
	}
	return len(records)
}

// publishAll publishes the records of the call, until one fails.
func (s *sink) publishAll(ctx context.Context, p *publisher, c *call, records []pipeline.Record) error {
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

// messageID returns the ID by which the stream detects duplicates: the ID of the event, or, because a replay must be
// stored again, an ID of the replay.
func messageID(r *pipeline.Record) string {
	if r.Origin == pipeline.OriginReplay {
		return r.ID + natsserver.ReplaySeparator + strconv.FormatUint(r.Seq, 10)
	}
	return r.ID
}

// patience returns a context that bounds the wait for one reply, and ends when the connection is lost.
func (s *sink) patience(ctx context.Context, epoch uint64) (context.Context, context.CancelFunc) {
	ctx, ended := s.conn.follow(ctx, epoch)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w (%v)", errNoAnswer, s.timeout))
	return ctx, func() {
		cancel()
		ended()
	}
}

// explain describes an error in one line, with the fix if known, and marks an error that no retry can change.
func (s *sink) explain(op string, err error) error {
	err = outcome.Redact(err, s.conn.secrets)
	var limit *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return pipeline.WithRefusalCode("max_payload", pipeline.Permanent(fmt.Errorf("%s to %s: it is larger than the server accepts, raise max_payload there: %w",
			op, s.conn.server, err)))
	case errors.As(err, &limit) && limit.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return pipeline.WithRefusalCode("max_msg_size", pipeline.Permanent(fmt.Errorf("%s: it is larger than stream %s accepts, raise its max_msg_size: %w",
			op, s.stream.Name, err)))
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w", op, s.conn.notConnected())
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%s to %s: the login lacks a permission: %w", op, s.conn.server, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s to %s: nobody answers there: check that JetStream is on and that stream %s exists: %w",
			op, s.conn.server, s.stream.Name, err)
	}
	if why := s.conn.why(); why != nil && errors.Is(err, errNoAnswer) {
		return fmt.Errorf("%s to %s: %w, after the server said: %w", op, s.conn.server, err, why)
	}
	return fmt.Errorf("%s to %s: %w", op, s.conn.server, err)
}
