package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// sequenceGap is how far behind the last known sequence number of a lost stream the new stream begins. It exceeds the
// number of messages that can have been published since that number was recorded.
const sequenceGap = 1 << 30

// wanted returns the stream to create if there is none. If relay's own server has lost the stream, the new one reuses
// none of its sequence numbers, so that the positions that overlays remember stay valid.
func (s *sink) wanted() jetstream.StreamConfig {
	want := s.stream
	if held, ok := s.synced(); ok {
		want.FirstSeq = held.Sequence + sequenceGap
	}
	return want
}

func (s *sink) synced() (natsserver.Held, bool) {
	if s.own == nil || s.own.store == nil {
		return natsserver.Held{}, false
	}
	return s.own.store.Synced(s.stream.Name)
}

// syncFirst makes the first message of a stream durable, with the stream, before it counts as delivered. From then on
// [sink.LastAccepted] can detect a loss.
func (s *sink) syncFirst(ctx context.Context) {
	if !s.unsynced.Load() || s.own.store == nil {
		return
	}
	if err := s.own.store.Sync(ctx); err != nil {
		s.conn.log.Debug().Err(err).Msg("NATS stream cannot be synced yet")
		return
	}
	s.unsynced.Store(false)
}

// LastAccepted implements [pipeline.Resumer].
func (s *sink) LastAccepted(ctx context.Context) (number uint64, id string, ok bool, err error) {
	if s.own == nil || s.own.store == nil {
		return 0, "", false, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		held natsserver.Held
		err  error
	}
	done := make(chan result, 1)
	if !s.life.start(func() {
		held, err := s.held(ctx)
		done <- result{held, err}
	}) {
		return 0, "", false, fmt.Errorf("inspect stream %s: %w", s.stream.Name, outcome.ErrClosed)
	}
	select {
	case r := <-done:
		return r.held.Number, r.held.ID, r.err == nil && r.held.Number > 0, r.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.life.closing:
		err = outcome.ErrClosed
	}
	return 0, "", false, fmt.Errorf("inspect stream %s of %s: %w", s.stream.Name, s.conn.server, err)
}

// held returns the last event up to which the stream has everything. Its number is 0 if that is unknown.
func (s *sink) held(ctx context.Context) (natsserver.Held, error) {
	r, err := s.connect(ctx)
	if err != nil {
		return natsserver.Held{}, fmt.Errorf("inspect stream %s: %w", s.stream.Name, err)
	}
	ctx, cancel := s.patience(ctx, r.epoch)
	defer cancel()
	last, info, err := s.end(ctx, r.js)
	if err != nil {
		return natsserver.Held{}, s.explain("inspect stream "+s.stream.Name, outcome.Cause(ctx, err))
	}
	synced, ok := s.synced()
	switch {
	case last.Sequence == 0 && ok && info.State.LastSeq <= synced.Sequence:
		// All messages have expired, and none came later.
		return synced, nil
	case last.Sequence == 0:
		return natsserver.Held{}, nil
	}
	// The files of a stream may reach the disk out of order: a power failure can leave a gap in the unsynced part.
	for _, deleted := range info.State.Deleted {
		if ok && synced.Sequence < deleted && deleted < last.Sequence {
			return synced, nil
		}
	}
	return last, nil
}

// end returns the last message of the stream, and the state of the stream with its deleted sequence numbers.
func (s *sink) end(ctx context.Context, js jetstream.JetStream) (natsserver.Held, *jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, s.stream.Name)
	if err != nil {
		return natsserver.Held{}, nil, err
	}
	var options []jetstream.StreamInfoOpt
	if stream.CachedInfo().State.NumDeleted > 0 {
		options = append(options, jetstream.WithDeletedDetails(true))
	}
	info, err := stream.Info(ctx, options...)
	if err != nil {
		return natsserver.Held{}, nil, err
	}
	last, err := natsserver.LastHeld(ctx, js, s.stream.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("it was deleted meanwhile: %w", err)
	}
	return last, info, err
}
