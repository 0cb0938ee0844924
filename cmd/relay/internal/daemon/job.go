// Package daemon is the relay that runs: it puts accounts, journal and sinks together, and serves those who ask how it is.
package daemon

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// DrainTime is how long a stopping relay goes on delivering what it has received. With what it takes to close everything
// after that, and [flushTime], relay is gone within 10 s, when service managers lose patience.
const DrainTime = 7 * time.Second

// Options are what a relay runs with.
type Options struct {
	Config   *config.Config
	Dir      string    // the data folder
	Out      io.Writer // where data goes
	Notice   io.Writer // where people read what is shown once
	Getenv   func(string) (string, bool)
	Identity store.IdentityOptions // what tokens are sealed with
	Reload   *Reloader             // nil: the configuration is never loaded again
	Log      zerolog.Logger
}

// Run locks the data folder and runs relay in it, until ctx ends or it cannot go on.
func Run(ctx context.Context, o Options) (err error) {
	lock, err := datadir.Lock(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := datadir.CheckTree(o.Dir); err != nil {
		return err
	}
	historyhttp.Sweep(o.Dir)
	j, err := newJob(ctx, o)
	if err != nil {
		return err
	}
	return j.serve(ctx, o.Reload)
}

// A job is the main job put together: accounts, journal and lanes.
type job struct {
	log     zerolog.Logger
	metrics *telemetry.Registry
	started *config.Config // what relay was started with: its sections hold until it is started again
	past    pasts
	monitor *monitor
	undo    datadir.Teardown

	*journalKeeper
	*accountMaker
	*sinkMaker

	mu   sync.Mutex
	live live
}

// newJob opens everything and starts nothing. On an error everything is closed again.
func newJob(ctx context.Context, o Options) (_ *job, err error) {
	cfg, log := o.Config, o.Log
	j := &job{log: log, metrics: telemetry.NewRegistry(), monitor: newMonitor(cfg), started: cfg}
	var opened datadir.Teardown // sinks, which are their lanes' to close once those run
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Run(), j.undo.Run())
		}
	}()
	j.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	j.journalKeeper = &journalKeeper{dir: o.Dir, metrics: pipeline.NewMetrics(j.metrics), undo: &j.undo, log: log}
	j.accountMaker = &accountMaker{
		log: log, keeper: j.journalKeeper, socket: cfg.Socket, authMetrics: auth.NewMetrics(j.metrics), sourceMetrics: NewSourceMetrics(j.metrics),
	}
	j.sinkMaker = &sinkMaker{log: log, out: o.Out, alertSink: cfg.Alerts.Sink, bearer: j.bearer}
	spans, err := telemetry.OpenTraces(ctx, o.Getenv, log)
	if err != nil {
		return nil, err
	}
	var trace func(pipeline.Stage)
	if spans != nil {
		j.undo.Add("traces", func() error { return spans.Close(ctx) })
		trace = spans.Add
	}
	if err := j.openJournalAndLanes(ctx, o, trace); err != nil {
		return nil, err
	}
	parts := live{cfg: cfg, accounts: make(map[string]*accountPart), sinks: make(map[string]*sinkPart)}
	for _, c := range cfg.Accounts {
		if parts.accounts[c.Account], err = j.openAccount(c); err != nil {
			return nil, err
		}
	}
	j.setParts(parts) // webhooks ask for their tokens
	for _, c := range cfg.Sinks {
		part, err := j.openSink(ctx, c)
		if err != nil {
			return nil, err
		}
		opened.Add("sink "+c.Name, part.sink.Close)
		if err := j.openLane(ctx, part); err != nil {
			return nil, err
		}
		parts.sinks[c.Name] = part
	}
	j.past.set(parts.sources())
	j.monitor.watch(j)
	if cfg.HTTP.Listen != "" {
		stop, err := serveHTTP(ctx, cfg.HTTP.Listen, j.metrics.Registry, j.monitor, log)
		if err != nil {
			return nil, err
		}
		j.undo.Add("http", stop)
	}
	return j, nil
}

// openJournalAndLanes opens what the accounts and sinks of a job are made with.
func (j *job) openJournalAndLanes(ctx context.Context, o Options, trace func(pipeline.Stage)) (err error) {
	cfg := o.Config
	// From now on, so that a relay that waits for its journal can be asked; closed before what it leads to.
	stopControl := sync.OnceValue(serveControl(ctx, o.Dir, j, &j.past, j.log))
	j.undo.Add("control socket", stopControl)
	j.providers = wire.NewTransport()
	j.undo.Add("connections to the providers", func() error { j.providers.CloseIdleConnections(); return nil })
	if j.store, err = grants.OpenStore(ctx, o.Dir, o.Identity, j.log); err != nil {
		return err
	}
	if err := checkGrants(cfg, j.store, j.log); err != nil {
		return err
	}
	if err := j.openServer(ctx, cfg, o, &j.undo); err != nil {
		return err
	}
	if err := j.open(ctx, cfg.Journal, trace); err != nil {
		return err
	}
	metrics := j.journalKeeper.metrics
	if j.attempts, err = attempts.Open(ctx, attempts.Config{Log: j.storage.Attempts, Logger: j.log, Metrics: metrics}); err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if j.lanes, err = delivery.New(ctx, delivery.Config{
		Journal: j.journal, CursorFile: filepath.Join(o.Dir, datadir.CursorsFile), Logger: j.log, Metrics: metrics, OnStage: trace,
	}); err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if cfg.Alerts.Sink != "" {
		j.alerts = journal.NewAlerts(j.journal, cfg.Alerts.Sink, j.log)
	}
	j.undo.Add("control socket", stopControl)
	j.monitor.open()
	return nil
}

var (
	errDrainTime  = errors.New("the time to deliver the rest is up")
	errLanesEnded = errors.New("the lanes have ended")
)

// running is a job that is being served.
type running struct {
	job   *job
	stop  context.CancelCauseFunc // ends it
	lanes sync.WaitGroup
}

// serve runs the job until ctx ends or a part of it cannot go on. Then it stops taking in, journals what it has received,
// and delivers what is journaled, for as long as drainTime allows.
func (j *job) serve(ctx context.Context, again *Reloader) (err error) {
	defer func() {
		closing := j.undo.Run()
		if err == nil && ctx.Err() != nil && closing != nil { // stopped as asked, though not all of it could be tidied up
			j.log.Warn().Err(closing).Msg("not everything closed in time")
			return
		}
		err = errors.Join(err, closing)
	}()
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	r := &running{job: j, stop: stop}
	var journal, alerts, attempts, triggers sync.WaitGroup
	alarmed, quiet := context.WithCancelCause(hard)
	defer quiet(nil)
	if j.alerts != nil {
		alerts.Go(func() { j.alerts.Run(alarmed) })
	}
	var journalErr error
	journal.Go(func() {
		if journalErr = j.journal.Run(hard); journalErr != nil {
			stop(journalErr)
		}
	})
	upkeep := j.keepUp(hard, j.lanes)
	attempts.Go(func() { j.attempts.Run(hard) })
	for _, part := range j.parts().sinks {
		part.start(hard, &r.lanes, j.sinkMaker, stop)
	}
	for _, part := range j.parts().accounts {
		part.start(taking, stop)
	}
	asked := again.triggers(taking, &triggers)
	j.log.Info().Int("accounts", len(j.parts().sources())).Int("sinks", len(j.parts().sinks)).Str("version", version.Number()).Msg("relay runs")
	defer j.supervise(context.WithoutCancel(ctx))()

	var ending sync.WaitGroup
	ending.Go(func() { keepMemorySmall(taking) })
	ending.Go(func() { // also in the middle of a reload
		<-taking.Done()
		j.monitor.stop()
		tellManager(j.log, daemon.SdNotifyStopping+"\nSTATUS=delivers what it has received")
		limit := time.NewTimer(DrainTime)
		defer limit.Stop()
		select {
		case <-limit.C:
			kill(errDrainTime)
		case <-hard.Done():
		}
	})
	for taking.Err() == nil {
		select {
		case <-taking.Done():
		case <-asked:
			r.reload(taking, hard, again.load)
		}
	}
	cause := context.Cause(taking)
	triggers.Wait()
	for _, part := range j.parts().accounts {
		part.work.Wait()
	}
	j.journal.Close()
	journal.Wait()
	for _, part := range j.parts().sinks {
		part.drain()
	}
	r.lanes.Wait()
	quiet(errLanesEnded)
	alerts.Wait()
	j.attempts.Close()
	attempts.Wait()
	err = upkeep()
	kill(nil) // of no consequence if that was done for want of time
	ending.Wait()
	if errors.Is(context.Cause(hard), errDrainTime) {
		j.log.Warn().Msg("stopped with deliveries under way; they are made at the next start")
	}
	switch {
	case journalErr != nil:
		return journalErr
	case errors.Is(cause, pipeline.ErrSinkClosed), ctx.Err() != nil:
		return err
	default:
		return cause
	}
}
