package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// afterLoss is how far behind the last number that is known of a lost stream the new one begins. It is more than could be published
// since that was noted.
const afterLoss = 1 << 30

// wanted is the stream to make, if there is none. When relay's own server has lost it, the new one has no number that the lost
// one may have given: what an overlay remembers of a number stays true.
func (s *sink) wanted() jetstream.StreamConfig {
	want := s.stream
	if held, ok := s.synced(); ok {
		want.FirstSeq = held.Sequence + afterLoss
	}
	return want
}

func (s *sink) synced() (natsserver.Held, bool) {
	if s.own == nil || s.own.store == nil {
		return natsserver.Held{}, false
	}
	return s.own.store.Synced(s.stream.Name)
}

// prove sees to it that the first message of a stream is durable, with the stream, before it counts. From then on
// [sink.LastAccepted] can tell what was lost.
func (s *sink) prove(ctx context.Context) {
	if !s.unproven.Load() || s.own.store == nil {
		return
	}
	if err := s.own.store.Sync(ctx); err != nil {
		s.link.log.Debug().Err(err).Msg("NATS stream cannot be synced yet")
		return
	}
	s.unproven.Store(false)
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
	return 0, "", false, fmt.Errorf("inspect stream %s of %s: %w", s.stream.Name, s.link.server, err)
}

// held finds the last event up to which the stream holds everything. Its number is 0 if that cannot be known.
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
		// What was there is gone by age, and nothing that came later is left.
		return synced, nil
	case last.Sequence == 0:
		return natsserver.Held{}, nil
	}
	// Files of a stream need not reach the disk in their order: a power cut may leave a hole in what was not synced.
	for _, deleted := range info.State.Deleted {
		if ok && synced.Sequence < deleted && deleted < last.Sequence {
			return synced, nil
		}
	}
	return last, nil
}

// end returns the last message of the stream, and the state of the stream with the numbers it has no message of.
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
