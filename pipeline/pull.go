package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pull takes events from the journal until draining starts.
//
// It asks for one batch after the other, each handed out as its events come. The client's iterator over batches
// (Consumer.Messages of nats.go 1.55.0) is not used: it looks whether to ask for more only when a message arrives, and not
// while a request is being sent, so that a fast reader can use up everything meanwhile and then waits 30 s for a
// missing heartbeat.
func (l *Lane) pull(ctx context.Context, w *worker) error {
	lost := l.journal.nc.StatusChanged(nats.RECONNECTING)
	defer l.journal.nc.RemoveStatusListener(lost)
	fetch := func(ctx context.Context, w *worker) error { return l.fetch(ctx, w, lost) }
	next := l.resume // then fetch, and after a broken fetch reclaim
	var said string
	for {
		select {
		case <-l.drain:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		if !l.hungry(ctx) {
			l.progress.moved()
			continue
		}
		err := next(ctx, w)
		switch {
		case err == nil:
			said, next = "", fetch
			l.progress.read(nil)
			continue
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, nats.ErrNoResponders) && l.deleted(ctx):
			return fmt.Errorf("read the journal for sink %s: %w; its cursor was deleted, restart relay to make a new one", l.cfg.Sink, jetstream.ErrConsumerDeleted)
		}
		l.progress.read(err)
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			l.log.Warn().Err(err).Msg("journal cannot be read; waiting")
		}
		l.pause(ctx)
		for len(lost) > 0 { // what it told of until now
			<-lost
		}
		// What was handed out to the broken request would come again after ackWait only, and out of order.
		next = l.reclaim
	}
}

// hungry waits while the lane has a fresh event to probe with and the destination is down, or the sink is disabled. It reports
// false when something has changed meanwhile. Events that were refused are no reason to wait: they may be why it seems to be down.
func (l *Lane) hungry(ctx context.Context) bool {
	state, changed := l.gate.now()
	if state.DisabledSince.IsZero() && (state.DownSince.IsZero() || !l.fresh()) {
		return true
	}
	select {
	case <-changed:
	case <-l.drain:
	case <-ctx.Done():
	}
	return false
}

// fresh reports whether an account has an event to deliver next that was not refused yet.
func (l *Lane) fresh() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.queues {
		if len(queue) > 0 && queue[0].trouble == nil {
			return true
		}
	}
	return false
}

// fetch takes one batch: what comes until it is full or has expired, draining starts, or the connection is lost, which the client
// notices only by the missing signs of life.
func (l *Lane) fetch(ctx context.Context, w *worker, lost <-chan nats.Status) error {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Without a deadline the request waits 30 s for events at the server, which gives a sign of life every 5 s.
	batch, err := l.cons.Fetch(maxHandover, jetstream.FetchContext(asking))
	if err != nil {
		return err
	}
	msgs, drain := batch.Messages(), l.drain
	for {
		select {
		case msg, ok := <-msgs:
			switch {
			case ok:
				l.take(ctx, w, msg)
			case asking.Err() != nil: // what this request would still bring is taken back by finish
				return nil
			default:
				return batch.Error()
			}
		case <-drain:
			drain = nil
			cancel(errDraining)
		case <-lost:
			return errConnLost
		}
	}
}

// deleted reports whether the lane's cursor is gone.
func (l *Lane) deleted(ctx context.Context) bool {
	_, err := l.cons.Info(ctx)
	return errors.Is(err, jetstream.ErrConsumerNotFound)
}

// finish takes what is left in the journal while draining, until there is nothing or ctx ends.
func (l *Lane) finish(ctx context.Context, w *worker) error {
	if !l.gate.open() {
		return nil
	}
	// First what the request that was under way has lost, for it is older than what comes now.
	if err := l.reclaim(ctx, w); err != nil {
		return err
	}
	for ctx.Err() == nil && !l.halted() {
		batch, err := l.cons.FetchNoWait(maxHandover)
		if err != nil {
			return fmt.Errorf("read the rest of the journal for sink %s: %w", l.cfg.Sink, err)
		}
		n := 0
		for msg := range batch.Messages() {
			n++
			l.take(ctx, w, msg)
		}
		l.work.Wait()
		if n == 0 {
			return l.reclaim(ctx, w)
		}
	}
	return nil
}

// reclaim takes back what the server holds for under way and the lane does not have: a request that broke, or an external
// server that was killed and has lost the acknowledgements of its last moments.
func (l *Lane) reclaim(ctx context.Context, w *worker) error {
	if l.hasty {
		if err := l.restore(ctx); err != nil {
			return err
		}
	}
	for range 5 { // the latest acknowledgements may still be on their way
		info, err := l.cons.Info(ctx)
		if err != nil {
			return fmt.Errorf("look after the lane of sink %s: %w", l.cfg.Sink, err)
		}
		l.mu.Lock()
		held := len(l.held)
		l.mu.Unlock()
		if info.NumAckPending <= held {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return l.resume(ctx, w)
}

// resume takes back what was handed out before this process started and not acknowledged. The server would do so only
// after ackWait, and after newer events: out of order. So for a moment the lane's cursor is set to hand out again at once,
// and nothing new.
func (l *Lane) resume(ctx context.Context, w *worker) error {
	info, err := l.cons.Info(ctx)
	if err != nil {
		return fmt.Errorf("open the lane of sink %s: %w", l.cfg.Sink, err)
	}
	left := info.NumAckPending
	if left == 0 {
		return nil
	}
	hasty := l.ccfg
	hasty.AckWait, hasty.MaxAckPending = time.Millisecond, 1
	l.hasty = true
	if _, err := l.journal.js.UpdateConsumer(ctx, JournalStream, hasty); err != nil {
		return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
	}
	err = l.collect(ctx, w, left)
	if restoreErr := l.restore(ctx); err == nil {
		err = restoreErr
	}
	return err
}

// restore puts the cursor's settings back after a resume.
func (l *Lane) restore(ctx context.Context) error {
	if _, err := l.journal.js.UpdateConsumer(ctx, JournalStream, l.ccfg); err != nil {
		return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
	}
	l.hasty = false
	return nil
}

// collect takes the events that the server hands out again, in their order: as many as left, or as come.
func (l *Lane) collect(ctx context.Context, w *worker, left int) error {
	again := make(map[uint64]jetstream.Msg, left)
	for empty := 0; len(again) < left && empty < 3; {
		batch, err := l.cons.Fetch(min(left-len(again), maxHandover), jetstream.FetchMaxWait(300*time.Millisecond))
		if err != nil {
			return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
		}
		before := len(again)
		for msg := range batch.Messages() {
			if meta, err := msg.Metadata(); err == nil {
				again[meta.Sequence.Stream] = msg
			}
		}
		if len(again) > before {
			continue
		}
		empty++ // what the journal has dropped is not handed out again, nor what was acknowledged meanwhile
		info, err := l.cons.Info(ctx)
		if err == nil && info.NumAckPending > len(again) {
			err = l.refuse(ctx, info, again)
		}
		if err != nil {
			return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
		}
		left = info.NumAckPending
	}
	seqs := make([]uint64, 0, len(again))
	for seq := range again {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		l.take(ctx, w, again[seq])
	}
	l.log.Debug().Int("events", len(again)).Msg("resumed events that were under way")
	return nil
}

// refuse has the server hand out again at once what it holds for under way, but for what has come. By itself it does so when ackWait
// has passed since the time at which it handed an event out, and that is to come yet if its clock was ahead then and has been set right.
// It does not tell which events those are, so all are refused that may be; of the others it takes no notice.
func (l *Lane) refuse(ctx context.Context, info *jetstream.ConsumerInfo, again map[uint64]jetstream.Msg) error {
	for seq := info.AckFloor.Stream + 1; seq <= info.Delivered.Stream; seq++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, ok := again[seq]; ok {
			continue
		}
		// NATS ADR-15: the reply subject of a message, with how often it was delivered, its numbers in the stream and for the consumer, the
		// time, and how many are to come.
		subject := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.0", JournalStream, l.ccfg.Durable, seq, info.Delivered.Consumer, time.Now().UnixNano())
		if err := l.journal.nc.Publish(subject, []byte("-NAK")); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for a second before something is tried again, and reports false if ctx ended or draining started before.
func (l *Lane) pause(ctx context.Context) bool { return await(ctx, l.drain, nil, time.Second) }

// signLife tells the server about the events that have been under way for a while, so that it does not hand them out again.
func (l *Lane) signLife(ctx context.Context) {
	tick := time.NewTicker(ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.mu.Lock()
			var old []jetstream.Msg
			for _, d := range l.held {
				if now.Sub(d.taken) >= ackWait/6 {
					old = append(old, d.msg)
				}
			}
			l.mu.Unlock()
			for _, msg := range old {
				if err := msg.InProgress(); err != nil {
					l.log.Debug().Err(err).Msg("sign of life not sent")
					break
				}
			}
		}
	}
}
