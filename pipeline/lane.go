package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

const (
	// ackWait is after how long without a sign of life the server hands an event out again. A lane gives signs three
	// times as often.
	ackWait = 60 * time.Second
	// maxAckPending bounds what a lane holds. It is large, so that the backlog of one account whose head is being
	// retried does not use up the room of the others.
	maxAckPending = 4096
	// maxHandover is how many records a sink is given at a time, and how many the journal is asked for.
	maxHandover = 256
	// doneMemory is how many delivered events a lane remembers, so that one whose acknowledgement got lost is
	// acknowledged again instead of being delivered again.
	doneMemory = 2 * maxAckPending
)

// LaneConfig configures a [Lane].
type LaneConfig struct {
	// Sink is the sink's name. The lane's cursor is kept under it.
	Sink string
	// Accounts limits the lane to these. Empty: all.
	Accounts []string
	Retry    RetryPolicy
	Log      zerolog.Logger
}

// Lane delivers the journal to one sink: a durable cursor, a queue per account that keeps order, and retries inside that
// queue, so that an event that fails delays only its own account.
type Lane struct {
	cfg     LaneConfig
	journal *Journal
	sink    Sink
	cons    jetstream.Consumer
	ccfg    jetstream.ConsumerConfig
	log     zerolog.Logger

	drain     chan struct{} // closed by Drain
	drainOnce sync.Once

	mu     sync.Mutex
	held   map[uint64]*delivery   // by sequence number: taken and not settled
	done   map[uint64]struct{}    // settled lately
	ring   []uint64               // the same, in the order of settling
	oldest int                    // where the ring is overwritten next
	queues map[string][]*delivery // by account, oldest first; present while its worker runs
	left   map[string]bool        // accounts whose events stay for the next start
	work   sync.WaitGroup
}

// A delivery is one event on its way.
type delivery struct {
	record Record
	at     time.Time // when it was journaled
	taken  time.Time
	msg    jetstream.Msg // the latest handout; guarded by Lane.mu
}

// OpenLane makes the lane's durable cursor if there is none. A new cursor starts at the journal's end: a sink that is new to
// the configuration is not sent what came before it.
func OpenLane(ctx context.Context, j *Journal, sink Sink, cfg LaneConfig) (*Lane, error) {
	l := &Lane{
		cfg: cfg, journal: j, sink: sink,
		log:   cfg.Log.With().Str("sink", cfg.Sink).Logger(),
		drain: make(chan struct{}),
		held:  make(map[uint64]*delivery), done: make(map[uint64]struct{}), queues: make(map[string][]*delivery), left: make(map[string]bool),
		ccfg: jetstream.ConsumerConfig{
			Durable: "lane_" + cfg.Sink, Description: "The lane of sink " + cfg.Sink + ".",
			AckPolicy: jetstream.AckExplicitPolicy,
			AckWait:   ackWait, MaxAckPending: maxAckPending, MaxDeliver: -1,
			FilterSubjects: laneSubjects(cfg.Accounts),
		},
	}
	l.ccfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
	existing, err := j.js.Consumer(ctx, JournalStream, l.ccfg.Durable)
	switch {
	case err == nil: // where it started cannot be changed
		l.ccfg.OptStartSeq = existing.CachedInfo().Config.OptStartSeq
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		// Named by number, not as "new": that would be reckoned anew if the server died before it noted the number.
		stream, err := j.js.Stream(ctx, JournalStream)
		if err != nil {
			return nil, fmt.Errorf("make the lane of sink %s: %w", cfg.Sink, err)
		}
		l.ccfg.OptStartSeq = stream.CachedInfo().State.LastSeq + 1
	default:
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	if l.cons, err = j.js.CreateOrUpdateConsumer(ctx, JournalStream, l.ccfg); err != nil {
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	return l, nil
}

func laneSubjects(accounts []string) []string {
	if len(accounts) == 0 {
		return []string{journalSubject + "*"}
	}
	subjects := make([]string, len(accounts))
	for i, a := range accounts {
		subjects[i] = journalSubject + a
	}
	return subjects
}

// Drain makes [Lane.Run] return as soon as everything journaled by then is delivered; what is being retried stays for the next
// start.
func (l *Lane) Drain() { l.drainOnce.Do(func() { close(l.drain) }) }

// Run delivers until [Lane.Drain] or the end of ctx, which also ends deliveries under way. It closes the sink. It returns nil
// then, [ErrSinkClosed] if the sink is gone, or an error if the journal cannot be read.
func (l *Lane) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, l.sink.Close()) }()
	ctx, stop := context.WithCancelCause(ctx)
	var owned sync.WaitGroup
	owned.Go(func() { l.signLife(ctx) })
	defer owned.Wait()
	defer stop(errLaneOver)
	defer l.work.Wait()

	w := worker{lane: l, retry: newRetrier(l.cfg.Retry), fail: stop}
	if err := l.resume(ctx, &w); err != nil && ctx.Err() == nil {
		return err
	}
	err = l.pull(ctx, &w)
	if err == nil {
		err = l.finish(ctx, &w)
	}
	l.work.Wait()
	if errors.Is(context.Cause(ctx), ErrSinkClosed) {
		return ErrSinkClosed
	}
	if ctx.Err() != nil {
		err = nil
	}
	// Acknowledgements are not answered: see them off before the connection closes.
	if flushErr := l.journal.nc.FlushTimeout(2 * time.Second); flushErr != nil {
		l.log.Debug().Err(flushErr).Msg("acknowledgements may be lost; some events may be delivered again")
	}
	return err
}

var (
	errDraining = errors.New("relay is stopping")
	errLaneOver = errors.New("the lane has ended")
)

// pull takes events from the journal until draining starts.
//
// It asks for one batch after the other, each handed out as its events come. The client's iterator over batches
// (Consumer.Messages of nats.go 1.55.0) is not used: it looks whether to ask for more only when a message arrives, and not
// while a request is being sent, so that a fast reader can use up everything meanwhile and then waits 30 s for a
// missing heartbeat.
func (l *Lane) pull(ctx context.Context, w *worker) error {
	var said string
	for {
		select {
		case <-l.drain:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		err := l.fetch(ctx, w)
		switch {
		case err == nil:
			said = ""
			continue
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, nats.ErrNoResponders) && l.deleted(ctx):
			return fmt.Errorf("read the journal for sink %s: %w; its cursor was deleted, restart relay to make a new one", l.cfg.Sink, jetstream.ErrConsumerDeleted)
		}
		if text := err.Error(); text != said {
			said = text
			l.log.Warn().Err(err).Msg("journal cannot be read; waiting")
		}
		if l.sleep(ctx, time.Second) {
			// What was handed out to the broken request would come again after ackWait only, and out of order.
			if err := l.reclaim(ctx, w); err != nil {
				l.log.Debug().Err(err).Msg("events under way not taken back; the server hands them out again later")
			}
		}
	}
}

// fetch takes one batch: what comes until it is full or has expired, or draining starts.
func (l *Lane) fetch(ctx context.Context, w *worker) error {
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
	for ctx.Err() == nil {
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
	if _, err := l.journal.js.UpdateConsumer(ctx, JournalStream, hasty); err != nil {
		return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
	}
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
		if info, err = l.cons.Info(ctx); err != nil {
			return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
		}
		left = info.NumAckPending
	}
	if _, err := l.journal.js.UpdateConsumer(ctx, JournalStream, l.ccfg); err != nil {
		return fmt.Errorf("resume the lane of sink %s: %w", l.cfg.Sink, err)
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

// take gives an event to its account's worker, unless the lane has it already.
func (l *Lane) take(ctx context.Context, w *worker, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		l.log.Error().Err(err).Msg("the journal's server sent a message without metadata")
		return
	}
	h := msg.Headers()
	d := &delivery{
		record: Record{
			Seq: meta.Sequence.Stream, ID: h.Get(jetstream.MsgIDHeader),
			Account:  strings.TrimPrefix(msg.Subject(), journalSubject),
			Provider: h.Get(headerProvider), Origin: Origin(h.Get(headerOrigin)), Line: msg.Data(),
		},
		at: meta.Timestamp, taken: time.Now(), msg: msg,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.held[d.record.Seq]; ok { // handed out again while it is under way
		known.msg, known.taken = msg, d.taken
		return
	}
	if _, ok := l.done[d.record.Seq]; ok { // its acknowledgement got lost
		l.ack(msg)
		return
	}
	l.held[d.record.Seq] = d
	l.journal.metrics.InFlight.WithLabelValues(l.cfg.Sink).Set(float64(len(l.held)))
	account := d.record.Account
	if l.left[account] {
		return // it would overtake those that wait for the next start
	}
	queue, running := l.queues[account]
	l.queues[account] = append(queue, d)
	if !running {
		l.work.Go(func() { w.run(ctx, account) })
	}
}

// waiting returns the account's queue as it is, or ends it if it is empty.
func (l *Lane) waiting(account string) []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queues[account]
	if len(queue) == 0 {
		delete(l.queues, account)
		return nil
	}
	return queue[:min(len(queue), maxHandover):min(len(queue), maxHandover)]
}

// abandon leaves the account's queue to the next start.
func (l *Lane) abandon(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.queues, account)
	l.left[account] = true
}

// settle acknowledges the first n of the account's queue and takes them off it.
func (l *Lane) settle(account string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queues[account]
	for _, d := range queue[:n] {
		l.ack(d.msg)
		delete(l.held, d.record.Seq)
		if len(l.ring) < doneMemory {
			l.ring = append(l.ring, d.record.Seq)
		} else {
			delete(l.done, l.ring[l.oldest])
			l.ring[l.oldest] = d.record.Seq
			l.oldest = (l.oldest + 1) % doneMemory
		}
		l.done[d.record.Seq] = struct{}{}
	}
	l.queues[account] = queue[n:]
	l.journal.metrics.InFlight.WithLabelValues(l.cfg.Sink).Set(float64(len(l.held)))
}

func (l *Lane) ack(msg jetstream.Msg) {
	if err := msg.Ack(); err != nil {
		l.log.Debug().Err(err).Msg("acknowledgement not sent; the event will be handed out and acknowledged again")
	}
}

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

// sleep waits for d, and reports false if ctx ended or draining started before.
func (l *Lane) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.drain:
		return false
	case <-t.C:
		return true
	}
}
