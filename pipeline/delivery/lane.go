package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Lane delivers the journal to one sink. It has a durable cursor, and a queue per account that keeps order. Retries
// happen inside the queue, so that a failing event delays only its own account, and only for a while.
//
// Its parts: the feed passes on records from the journal's reader; the ledger tracks unsettled events; workers
// deliver the queues, one event at a time; the schedule brings back deferred events; the breaker decides when something
// may be sent; the keeper keeps the state of the sink on disk; and the rules decide what the sink gets.
type Lane struct {
	cfg  LaneConfig
	home *Dispatcher
	sink pipeline.Sink
	stop *stopper

	feed     *feed
	ledger   *ledger
	queues   *queues
	schedule *schedule.Schedule
	breaker  *breaker.Breaker
	keeper   *breaker.Keeper
	contents
	counts
}

// contents decide which records a sink gets, and in which form.
type contents struct {
	rules      *rules.Rules
	digester   *rules.Digester
	anonymizer rules.Anonymizer
	resumed    resumed
	left       cursor.Numbers // open numbers of an earlier run, to be read before anything newer
}

// counts are the lane's metrics and traces.
type counts struct {
	log     zerolog.Logger
	metrics *laneMetrics
	stats   *stats
	onStage func(pipeline.Stage) // may be nil
}

func newLane(d *Dispatcher, sink pipeline.Sink, cfg LaneConfig) *Lane {
	log := cfg.Log.With().Str("sink", cfg.Sink).Logger()
	metrics := newLaneMetrics(d.cfg.Metrics, cfg.Sink)
	batcher, ok := sink.(pipeline.Batcher)
	l := &Lane{
		cfg: cfg, home: d, sink: sink, stop: newStopper(),
		queues: newQueues(shape{
			strict: cfg.Strict, unordered: cfg.Unordered, concurrency: cfg.Concurrency, together: ok && batcher.BatchesAccounts(),
		}),
		schedule: schedule.New(schedule.NewStore(d.cfg.Journal.State(), cfg.Sink), metrics.retries, log),
		counts:   counts{log: log, metrics: metrics, stats: new(stats), onStage: d.cfg.OnStage},
	}
	l.rules = rules.New(cfg.Selection, metrics.filtered, log)
	l.feed = newFeed(interest{cfg.Sink, cfg.Accounts}, func() (int, int) { return l.ledger.room() })
	l.digester = rules.NewDigester(d.cfg.Journal, cfg.Sink, l.rules, func(number uint64) bool { return l.ledger.isMissing(number) }, log)
	return l
}

func (l *Lane) journal() *journal.Journal { return l.home.cfg.Journal }

// Drain makes [Lane.Run] return once everything journaled so far is delivered. Events that are being retried stay for
// the next start.
func (l *Lane) Drain() { l.stop.drainOnce.Do(func() { close(l.stop.drain) }) }

// Stop makes [Lane.Run] return once the running deliveries have ended by themselves. The rest stays for the next start.
func (l *Lane) Stop() {
	l.Drain()
	l.stop.haltOnce.Do(func() { close(l.stop.halt) })
}

var errLaneEnded = errors.New("the lane has ended")

// Run delivers until [Lane.Drain] or the end of ctx, which also cancels running deliveries. Then it closes the sink,
// saves the cursor and returns nil. It returns [pipeline.ErrSinkClosed] if the sink is gone, and an error if the
// journal cannot be read while draining or the cursor cannot be saved. Call it exactly once for each open lane.
func (l *Lane) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, l.sink.Close()) }()
	outer := ctx
	ctx, stop := context.WithCancelCause(ctx)
	var owned sync.WaitGroup
	ended := make(chan struct{})
	l.stats.moved(time.Now())
	owned.Go(func() { l.keeper.SaveChanges(ctx, ended) })
	owned.Go(func() { l.keeper.Follow(ctx, l.stop.pause) })
	err = l.deliver(ctx, stop)
	closed := errors.Is(context.Cause(ctx), pipeline.ErrSinkClosed)
	stop(errLaneEnded)
	close(ended)
	owned.Wait()
	l.detach()
	if saveErr := l.home.store.Close(outer, l.cfg.Sink); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	if closed {
		return pipeline.ErrSinkClosed
	}
	return err
}

// deliver takes events and delivers them until the lane ends and all workers are idle.
func (l *Lane) deliver(ctx context.Context, stop context.CancelCauseFunc) error {
	l.queues.work = func(q *queue) {
		w := worker{lane: l, ctx: ctx, queue: q, fail: stop}
		w.run()
	}
	var scheduler sync.WaitGroup
	scheduler.Go(func() { l.schedule.Run(ctx, l.stop.drain, func(r *schedule.Retry) bool { return l.requeue(ctx, r) }) })
	l.follow(ctx)
	scheduler.Wait()
	var err error
	if ctx.Err() == nil {
		err = l.finish(ctx)
	}
	if err != nil {
		stop(err)
	}
	for idle := l.queues.busy(); idle != nil; idle = l.queues.busy() {
		<-idle // workers stop when ctx ends or draining starts
	}
	l.queues.close()
	if ctx.Err() != nil && context.Cause(ctx) != err { //nolint:errorlint // identity is meant
		return nil // the lane was stopped
	}
	if err != nil {
		return fmt.Errorf("read the rest of the journal for sink %s: %w", l.cfg.Sink, err)
	}
	return nil
}

// snapshot returns the lane's cursor, see [snapshot].
func (l *Lane) snapshot(end cursor.Position, last bool) (journal.Cursor, bool) {
	idle := l.feed.idle()
	if !idle {
		end = cursor.Position{}
	}
	c := l.ledger.cursor(end, last && !l.resumed.supported)
	c.Accounts, c.Digests = l.cfg.Accounts, l.rules.MakesDigests()
	return c, idle
}

// Status returns the status of the lane. It does not block.
func (l *Lane) Status() LaneStatus {
	s := l.stats.status()
	s.Sink = l.cfg.Sink
	s.State, _ = l.breaker.State()
	s.Load = l.ledger.load()
	s.Retries = l.schedule.Count()
	if failing := l.home.reader.failing(); s.UnreadSince.IsZero() && !failing.since.IsZero() {
		s.UnreadSince, s.Unread = failing.since, pipeline.OneLine(failing.err)
	}
	return s
}

// Latency returns the percentiles of the time from on disk to accepted of the latest n events, at most 1,024; 0: none yet.
func (l *Lane) Latency(n uint64) (p50, p99 time.Duration) { return l.stats.latest(n) }

// failed counts a failed attempt.
func (l *Lane) failed(d *delivery, began time.Time, err error) {
	l.metrics.failures.Inc()
	l.stats.failed()
	l.reportStages([]*delivery{d}, began, time.Now(), err)
}

// reportStages reports a finished attempt: each accepted event, or the first one if none was accepted. Records that are not
// treats, such as alerts, are not reported.
func (l *Lane) reportStages(of []*delivery, began, ended time.Time, err error) {
	if l.onStage == nil {
		return
	}
	for _, d := range of {
		if r := &d.record; r.Type == pipeline.EventType {
			l.onStage(pipeline.Stage{
				ID: r.ID, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Sink: l.cfg.Sink, Seq: r.Seq,
				Attempt: attempts(d) + 1, Began: began, Ended: ended, Err: err,
			})
		}
	}
}
