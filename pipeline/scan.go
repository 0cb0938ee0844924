package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A message is one that a stream keeps.
type message struct {
	Seq     uint64
	Time    time.Time // when the stream took it
	Subject string
	Header  nats.Header
	Data    []byte
}

const (
	// scanBatch is how many messages a scan asks for, and so holds, at a time, or fewer if they are large: as many as scanBytes
	// hold, going by those before.
	scanBatch = 128
	scanBytes = 4 << 20
	// scanIdle is for how long whoever reads a scan may pause, as a pager does.
	scanIdle = time.Hour
)

// scan yields the messages of a stream in their order, up to the newest at the time of the call. cfg says from where on, and
// which; its other settings do not matter. An error is the last thing it yields. Messages that are deleted meanwhile may be
// left out. A stream that does not exist is empty.
func (j *Journal) scan(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		if err := j.scanStream(ctx, stream, cfg, func(m message) bool { return yield(m, nil) }); err != nil {
			yield(message{}, err)
		}
	}
}

func (j *Journal) scanStream(ctx context.Context, name string, cfg jetstream.ConsumerConfig, visit func(message) bool) error {
	stream, err := j.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into stream %s: %w", name, err)
	}
	last := stream.CachedInfo().State.LastSeq
	cfg.AckPolicy, cfg.MemoryStorage, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, scanIdle
	cons, err := stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	defer func() { // the server removes it by itself if this fails
		_ = stream.DeleteConsumer(context.WithoutCancel(ctx), cons.CachedInfo().Name)
	}()
	left, most := cons.CachedInfo().NumPending, scanBatch
	for empty := 0; left > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		batch, err := cons.FetchNoWait(int(min(left, uint64(most))))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		empty++
		messages, size := 0, 0
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("read stream %s: %w", name, err)
			}
			empty, left = 0, meta.NumPending
			messages++
			size += len(msg.Data())
			if meta.Sequence.Stream > last { // came in since
				return nil
			}
			if !visit(message{meta.Sequence.Stream, meta.Timestamp, msg.Subject(), msg.Headers(), msg.Data()}) {
				return nil
			}
		}
		if batch.Error() != nil {
			return fmt.Errorf("read stream %s: %w", name, batch.Error())
		}
		if empty == 0 {
			most = min(max(scanBytes*messages/max(size, 1), 1), scanBatch)
			continue
		}
		if empty == 3 {
			return fmt.Errorf("read stream %s: %d messages are missing from the answer", name, left)
		}
		info, err := cons.Info(ctx) // what was left may have been deleted meanwhile
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		left = info.NumPending
	}
	return nil
}
