package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// route is a connection and the state of the stream on it.
type route struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	pub     *publisher
	epoch   uint64 // of the connection that pub belongs to
	checked bool   // the stream exists and is configured as required
	maxSize int32  // maximum size of a message; zero or negative means no limit
}

// connect returns a route whose stream is ready. It may block until the server responds, so callers must be able to
// abandon it.
func (s *sink) connect(ctx context.Context) (route, error) {
	select {
	case s.routeLock <- struct{}{}:
		defer func() { <-s.routeLock }()
	case <-ctx.Done():
		return route{}, context.Cause(ctx)
	}
	if s.route.nc == nil || s.route.nc.IsClosed() {
		nc, err := s.dial(ctx)
		if err != nil {
			return route{}, fmt.Errorf("connect to %s: %w", s.conn.server, outcome.Redact(err, s.conn.secrets))
		}
		js, err := jetstream.New(nc)
		if err != nil {
			nc.Close()
			return route{}, fmt.Errorf("connect to %s: %w", s.conn.server, err)
		}
		s.route = route{nc: nc, js: js}
	}
	epoch, err := s.conn.ready(s.route.nc)
	if err != nil {
		return route{}, err
	}
	if s.route.pub == nil || s.route.epoch != epoch {
		if err := s.listen(ctx, epoch); err != nil {
			return route{}, err
		}
	}
	if !s.route.checked {
		if err := s.prepare(ctx); err != nil {
			return route{}, err
		}
	}
	s.conn.usable()
	return s.route, nil
}

// listen creates the publisher for the connection of that epoch.
func (s *sink) listen(ctx context.Context, epoch uint64) error {
	if s.route.pub != nil {
		s.route.pub.close()
	}
	ctx, cancel := s.patience(ctx, epoch)
	defer cancel()
	pub, err := newPublisher(ctx, s.route.nc)
	s.route.pub, s.route.epoch = pub, epoch
	s.conn.attach(pub)
	if err != nil {
		if errors.Is(err, nats.ErrPermissionViolation) {
			s.conn.refused(err)
		}
		return s.explain("prepare the connection", err)
	}
	return nil
}

// prepare creates or updates the stream if necessary.
func (s *sink) prepare(ctx context.Context) error {
	ctx, cancel := s.patience(ctx, s.route.epoch)
	defer cancel()
	info, err := ensureStream(ctx, s.route.js, s.wanted())
	if err != nil {
		err = outcome.Cause(ctx, err)
		if errors.Is(err, errNoAnswer) {
			s.conn.unanswered()
		}
		err = s.explain("prepare stream "+s.stream.Name, err)
		s.conn.unready(err)
		return err
	}
	s.route.checked, s.route.maxSize = true, info.Config.MaxMsgSize
	held, ok := s.synced()
	s.unsynced.Store(s.own != nil && (!ok || held.Number == 0 || info.State.Msgs == 0))
	return nil
}

// forget makes the next [sink.connect] inspect the stream again.
func (s *sink) forget(ctx context.Context) {
	select {
	case s.routeLock <- struct{}{}:
		s.route.checked = false
		<-s.routeLock
	case <-ctx.Done():
	}
}
