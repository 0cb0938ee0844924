package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	hasty   bool // the cursor has the settings of a resume; belongs to Run's goroutine

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
			FilterSubjects: laneSubjects(cfg.Sink, cfg.Accounts),
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

func laneSubjects(sink string, accounts []string) []string {
	subjects := []string{resendSubject + sink + ".*"}
	if len(accounts) == 0 {
		return append(subjects, journalSubject+"*")
	}
	for _, a := range accounts {
		subjects = append(subjects, journalSubject+a)
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
	err = l.pull(ctx, &w)
	if err == nil {
		err = l.finish(ctx, &w)
	}
	if ctx.Err() != nil {
		err = nil // the end was asked for, or a worker knows the reason
	} else if err != nil {
		stop(err) // no worker goes on in a lane that takes nothing more
	}
	l.work.Wait()
	if errors.Is(context.Cause(ctx), ErrSinkClosed) {
		return ErrSinkClosed
	}
	if ctx.Err() != nil {
		return err
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

// take gives an event to its account's worker, unless the lane has it already.
func (l *Lane) take(ctx context.Context, w *worker, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		l.log.Error().Err(err).Msg("the journal's server sent a message without metadata")
		return
	}
	d := &delivery{
		record: recordOf(meta.Sequence.Stream, msg.Subject(), msg.Headers(), msg.Data()),
		at:     meta.Timestamp, taken: time.Now(), msg: msg,
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
