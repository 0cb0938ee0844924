package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	maxHandover = MaxBatch
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
	// Filter limits the lane to the events that match. One that cannot tell of an event lets it through. Nil: all.
	Filter *Filter
	// SkipTests leaves out the events of the origin test.
	SkipTests bool
	// Backfill is how the sink gets the events of the origin backfill.
	Backfill BackfillRule
	// Sender is what the sink is told of who sent a treat.
	Sender SenderRule
	// Strict keeps the order of an account's events whatever happens: nothing passes an event that fails. Otherwise an
	// event that has failed five times, or is to wait for more than a minute, steps aside until its next attempt.
	Strict bool
	// Unordered delivers the events of an account several at a time, and so in no certain order. It goes not together with Strict.
	Unordered bool
	// Concurrency is how many deliveries may be under way at a time, 0 for any number; there is one an account at most, unless
	// the lane is unordered.
	Concurrency int
	// PerSecond is how many deliveries may begin in a second, 0 for any number.
	PerSecond float64
	Retry     RetryPolicy
	Probe     ProbePolicy
	// Alert is told what is wrong with the sink, once. It does not wait. Nil: nobody is.
	Alert func(AlertData)
	Log   zerolog.Logger
}

// Lane delivers the journal to one sink: a durable cursor, a queue per account that keeps order, and retries inside that
// queue, so that an event that fails delays only its own account, and for a while only.
type Lane struct {
	cfg     LaneConfig
	journal *Journal
	sink    Sink
	cons    jetstream.Consumer
	ccfg    jetstream.ConsumerConfig
	gate    *gate
	hashKey []byte // for hide
	digests []span // the parts of the journal of whose events of the origin backfill the sink is told by digests
	log     zerolog.Logger
	hasty   bool // the cursor has the settings of a resume; belongs to Run's goroutine

	drain     chan struct{} // closed by Drain
	drainOnce sync.Once
	halt      chan struct{} // closed by Halt
	haltOnce  sync.Once

	mu      sync.Mutex
	held    map[uint64]*delivery    // by sequence number: taken and not settled
	done    map[uint64]struct{}     // settled lately
	ring    []uint64                // the same, in the order of settling
	oldest  int                     // where the ring is overwritten next
	queues  map[queueID][]*delivery // oldest first; present while its worker runs
	waiting map[string][]*delivery  // by account: events in no queue yet, of an unordered lane
	left    map[string]bool         // accounts whose events stay for the next start
	work    sync.WaitGroup

	trouble   map[uint64]*retry       // what an earlier run left of events that fail and did not step aside
	aside     map[uint64]*retry       // events that stepped aside
	schedule  byTime                  // those of them that wait
	scheduled chan struct{}           // the schedule has changed
	due       map[queueID][]*delivery // those whose time has come
	care      care
	progress  progress
}

// A delivery is one event on its way.
type delivery struct {
	record Record
	at     time.Time // when it was journaled
	taken  time.Time
	msg    jetstream.Msg // the latest handout; guarded by Lane.mu; nil for an event that stepped aside

	trouble *retry // nil while the sink has not refused it; set by its worker, under Lane.mu
	probes  int    // attempts that were not answered
	before  uint64 // how many deliveries the destination had accepted at the first of them
}

// OpenLane makes the lane's durable cursor if there is none. A new cursor starts at the journal's end: a sink that is new to
// the configuration is not sent what came before it.
func OpenLane(ctx context.Context, j *Journal, sink Sink, cfg LaneConfig) (*Lane, error) {
	l := &Lane{
		cfg: cfg, journal: j, sink: sink,
		log:   cfg.Log.With().Str("sink", cfg.Sink).Logger(),
		drain: make(chan struct{}), halt: make(chan struct{}),
		held: make(map[uint64]*delivery), done: make(map[uint64]struct{}), queues: make(map[queueID][]*delivery), waiting: make(map[string][]*delivery), left: make(map[string]bool),
		trouble: make(map[uint64]*retry), aside: make(map[uint64]*retry), scheduled: make(chan struct{}, 1), due: make(map[queueID][]*delivery),
		care: care{dirty: make(chan struct{}, 1)},
		ccfg: jetstream.ConsumerConfig{
			Durable: lanePrefix + cfg.Sink, Description: "The lane of sink " + cfg.Sink + ".",
			AckPolicy: jetstream.AckExplicitPolicy,
			AckWait:   ackWait, MaxAckPending: maxAckPending, MaxDeliver: -1,
		},
	}
	l.ccfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
	existing, err := j.js.Consumer(ctx, JournalStream, l.ccfg.Durable)
	switch {
	case err == nil: // where it started cannot be changed
		l.ccfg.OptStartSeq = existing.CachedInfo().Config.OptStartSeq
		l.digests, err = j.digestSpans(ctx, cfg.Sink, cfg.Backfill == DigestBackfill, existing.CachedInfo().Delivered.Stream, false)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		// Named by number, not as "new": that would be reckoned anew if the server died before it noted the number.
		var last uint64
		if last, err = j.LastNumber(ctx); err != nil {
			return nil, fmt.Errorf("make the lane of sink %s: %w", cfg.Sink, err)
		}
		l.ccfg.OptStartSeq = last + 1
		l.digests, err = j.digestSpans(ctx, cfg.Sink, cfg.Backfill == DigestBackfill, last, true)
	}
	if err != nil {
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	l.ccfg.FilterSubjects = laneSubjects(cfg.Sink, cfg.Accounts, len(l.digests) > 0)
	if l.cons, err = j.js.CreateOrUpdateConsumer(ctx, JournalStream, l.ccfg); err != nil {
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	if err := l.remember(ctx); err != nil {
		return nil, fmt.Errorf("open the lane of sink %s: %w", cfg.Sink, err)
	}
	return l, nil
}

// remember reads what an earlier run has left beside the cursor.
func (l *Lane) remember(ctx context.Context) error {
	state, err := l.journal.SinkState(ctx, l.cfg.Sink)
	if err != nil {
		return err
	}
	if state.wake(time.Now()) {
		l.soil()
	}
	l.gate = newGate(l.cfg.Concurrency, l.cfg.PerSecond, l.cfg.Probe, state, l.heed)
	l.showState(state)
	l.care.alerted = state.Alerted && !l.gate.open() // else the operator has enabled it meanwhile
	if !state.DisabledSince.IsZero() {
		l.log.Warn().Time("since", state.DisabledSince).Str("reason", state.Reason).
			Msgf("sink is disabled: its events wait; relay sinks enable %s sends them", l.cfg.Sink)
	}
	if l.cfg.Sender == HashSender {
		if l.hashKey, err = l.journal.senderKey(ctx); err != nil {
			return err
		}
	}
	return l.recall(ctx)
}

// Drain makes [Lane.Run] return as soon as everything journaled by then is delivered; what is being retried stays for the next
// start.
func (l *Lane) Drain() { l.drainOnce.Do(func() { close(l.drain) }) }

// Halt makes [Lane.Run] return as soon as the deliveries that are under way have ended by themselves. What is left stays for the next start.
func (l *Lane) Halt() {
	l.Drain()
	l.haltOnce.Do(func() { close(l.halt) })
}

// halted reports whether [Lane.Halt] was called.
func (l *Lane) halted() bool {
	select {
	case <-l.halt:
		return true
	default:
		return false
	}
}

// Run delivers until [Lane.Drain] or the end of ctx, which also ends deliveries under way. It closes the sink. It returns nil
// then, [ErrSinkClosed] if the sink is gone, or an error if the journal cannot be read.
func (l *Lane) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, l.sink.Close()) }()
	ctx, stop := context.WithCancelCause(ctx)
	var owned, scheduler sync.WaitGroup
	settled := make(chan struct{})
	l.progress.moved()
	owned.Go(func() { l.signLife(ctx) })
	owned.Go(func() { l.keep(ctx, settled) })
	owned.Go(func() { l.follow(ctx) })
	defer owned.Wait()
	defer close(settled)
	defer stop(errLaneOver)
	defer l.work.Wait()

	w := worker{lane: l, fail: stop}
	scheduler.Go(func() { l.runSchedule(ctx, &w) })
	err = l.pull(ctx, &w)
	if err != nil {
		stop(err) // nobody goes on in a lane that takes nothing more
	}
	scheduler.Wait()
	if err == nil {
		err = l.finish(ctx, &w)
	}
	if err != nil {
		stop(err)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, err) {
		err = nil // the end was asked for, or a worker knows the reason
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
		record: l.recordOf(meta.Sequence.Stream, meta.Timestamp, msg.Subject(), msg.Headers(), msg.Data()),
		at:     meta.Timestamp, taken: time.Now(), msg: msg,
	}
	wanted := l.wants(d.record, strings.HasPrefix(msg.Subject(), resendSubject))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.moved()
	seq := d.record.Seq
	if known, ok := l.held[seq]; ok { // handed out again while it is under way
		known.msg, known.taken = msg, d.taken
		return
	}
	_, settled := l.done[seq]
	_, aside := l.aside[seq]
	if settled || aside || !wanted { // in the first two cases its acknowledgement got lost
		l.ack(msg)
		return
	}
	d.trouble = l.trouble[seq]
	delete(l.trouble, seq)
	l.held[seq] = d
	l.journal.metrics.InFlight.WithLabelValues(l.cfg.Sink).Set(float64(len(l.held)))
	account := d.record.Account
	if l.left[account] {
		return // it would overtake those that wait for the next start
	}
	id := l.idle(account)
	l.employ(ctx, w, id)
	if l.cfg.Unordered {
		l.waiting[account] = append(l.waiting[account], d)
	} else {
		l.queues[id] = append(l.queues[id], d)
	}
}

// remind notes that an event is settled, in place of the oldest of which that is known. l.mu is held.
func (l *Lane) remind(seq uint64) {
	if _, known := l.done[seq]; known {
		return
	}
	if len(l.ring) < doneMemory {
		l.ring = append(l.ring, seq)
	} else {
		delete(l.done, l.ring[l.oldest])
		l.ring[l.oldest] = seq
		l.oldest = (l.oldest + 1) % doneMemory
	}
	l.done[seq] = struct{}{}
}

func (l *Lane) ack(msg jetstream.Msg) {
	if err := msg.Ack(); err != nil {
		l.log.Debug().Err(err).Msg("acknowledgement not sent; the event will be handed out and acknowledged again")
	}
}
