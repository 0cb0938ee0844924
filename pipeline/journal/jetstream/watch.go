package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline/journal"
)

// watchEvery is how often a watched key is read without a hint of a change.
const watchEvery = 5 * time.Second

// hintDelays are the delays of the reads after a hint, which may arrive before the change is stored.
func hintDelays() []time.Duration {
	return []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}
}

// Watch implements [journal.State]. It continues when a lost connection or bucket is back. Of changes in quick
// succession it may report only the last one. A deleted key is reported as nil and revision 0.
func (s *State) Watch(ctx context.Context, key string, changed func(value []byte, revision uint64)) error {
	if err := checkKey(key); err != nil {
		return err
	}
	// A write to a key is a message on the key's subject, which anyone may subscribe to: no consumer is needed.
	hints := make(chan struct{}, 1)
	sub, err := s.client.nc.Subscribe(bucketPrefix+key, func(*nats.Msg) {
		select {
		case hints <- struct{}{}:
		default: // there is one already
		}
	})
	if err != nil {
		return s.fail("watch", key, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it may be gone with the connection
	again := s.client.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.client.nc.RemoveStatusListener(again)
	var revision uint64
	var delays []time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hints:
			delays = hintDelays()
		case <-again:
		case <-timer.C:
		}
		value, now, err := s.get(ctx, key)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, journal.ErrNoKey) && revision != 0:
			revision = 0
			changed(nil, 0)
		case err == nil && now != revision:
			revision = now
			changed(value, now)
		case err != nil && s.client.nc.IsClosed():
			return s.fail("watch", key, err)
		}
		next := watchEvery
		if len(delays) > 0 {
			next, delays = delays[0], delays[1:]
		}
		timer.Reset(next)
	}
}
