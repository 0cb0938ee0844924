package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// FollowConfig says which events [Journal.Follow] hands on.
type FollowConfig struct {
	Accounts []string  // empty: of all
	After    uint64    // those with a greater number in the journal
	Since    time.Time // if After is 0: those journaled since then; zero: all
}

// followBatch is how many events are asked for at a time.
const followBatch = 64

var errFollowGap = errors.New("events are missing from the answer")

// Follow hands events to visit in the order in which they were journaled, and goes on with each that is, until ctx ends: then it
// returns nil. Else it returns the error of visit, or why the journal cannot be followed any more, such as a connection that is lost;
// a new call with the number of the last event goes on behind it. What was put before one sink only is left out: replays, redrives and
// tests of one sink. It leaves nothing behind on the server.
func (j *Journal) Follow(ctx context.Context, cfg FollowConfig, visit func(JournaledEvent) error) error {
	lost := j.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer j.nc.RemoveStatusListener(lost)
	filter := EventFilter{Accounts: cfg.Accounts, After: cfg.After}
	ccfg := filter.consumer()
	if cfg.After == 0 && !cfg.Since.IsZero() {
		ccfg.DeliverPolicy, ccfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &cfg.Since
	}
	ccfg.AckPolicy, ccfg.MemoryStorage, ccfg.InactiveThreshold = jetstream.AckNonePolicy, true, scanIdle
	cons, err := j.js.CreateConsumer(ctx, JournalStream, ccfg)
	if err != nil {
		return j.unfollowed(ctx, err)
	}
	defer func() {
		if j.nc.IsConnected() { // the server removes it by itself if this fails
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = j.js.DeleteConsumer(bounded, JournalStream, cons.CachedInfo().Name)
		}
	}()
	var seen uint64
	for ctx.Err() == nil {
		if err := followSome(ctx, cons, lost, &seen, visit); err != nil {
			return j.unfollowed(ctx, err)
		}
	}
	return nil
}

// visitError is an error of whoever visits, as it is.
type visitError struct{ error }

func (j *Journal) unfollowed(ctx context.Context, err error) error {
	var own visitError
	switch {
	case errors.As(err, &own):
		return own.error
	case ctx.Err() != nil:
		return nil //nolint:nilerr // it was told to end
	}
	return fmt.Errorf("follow the journal: %w", err)
}

// followSome hands on what one request brings. seen counts what has come so far.
func followSome(ctx context.Context, cons jetstream.Consumer, lost <-chan nats.Status, seen *uint64, visit func(JournaledEvent) error) error {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	batch, err := cons.Fetch(followBatch, jetstream.FetchContext(asking)) // without a deadline it waits 30 s
	if err != nil {
		return err
	}
	msgs := batch.Messages()
	for {
		select {
		case <-lost:
			return errConnLost
		case msg, ok := <-msgs:
			if !ok {
				return batch.Error()
			}
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if *seen++; meta.Sequence.Consumer != *seen {
				return errFollowGap
			}
			e := JournaledEvent{Record: recordOf(meta.Sequence.Stream, msg.Subject(), msg.Headers(), msg.Data())}
			if e.Type != EventType {
				continue
			}
			if e.Event, err = e.Record.Event(); err != nil {
				return visitError{err}
			}
			if err := visit(e); err != nil {
				return visitError{err}
			}
		}
	}
}
