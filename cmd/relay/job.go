package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/socket"
)

// drainTime is how long a stopping relay goes on delivering what it has received. With what it takes to close everything
// after that, and [flushTime], relay is gone within 10 s, when service managers lose patience.
const drainTime = 7 * time.Second

// A job is the main job put together: accounts, journal and lanes.
type job struct {
	log      zerolog.Logger
	out      io.Writer // where data goes
	dir      string    // the data folder
	metrics  *vectors
	pipeline *pipeline.Metrics
	storage  storage
	server   *natsserver.Server // for overlays; nil if no sink needs it
	journal  *journal.Journal
	index    *index.Index
	lanes    *delivery.Dispatcher
	// attempts is the log of what the sinks do.
	attempts *attempts.Log
	alerts   *journal.Alerts // nil if nobody wants to be told
	past     pasts
	monitor  *monitor
	undo     teardown

	// What the parts are made with.
	store         *auth.FileStore
	providers     *auth.Transport // what all accounts send to the providers goes through it
	authMetrics   *auth.Metrics
	sourceMetrics *sourceMetrics
	socketHolds   socket.Holds // of all accounts

	started *Config // what relay was started with: its sections hold until it is started again

	mu   sync.Mutex
	live live
}

// newJob opens everything and starts nothing. On an error everything is closed again.
func (p *program) newJob(ctx context.Context, cfg *Config, dir string, log zerolog.Logger) (_ *job, err error) {
	j := &job{log: log, out: p.out, dir: dir, metrics: &vectors{Registry: prometheus.NewRegistry()}, monitor: newMonitor(cfg), started: cfg}
	var opened teardown // sinks, which are their lanes' to close once those run
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.run(), j.undo.run())
		}
	}()
	j.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := pipeline.NewMetrics(j.metrics)
	j.authMetrics, j.sourceMetrics = auth.NewMetrics(j.metrics), newSourceMetrics(j.metrics)
	spans, err := openTraces(ctx, p.getenv, log)
	if err != nil {
		return nil, err
	}
	if spans != nil {
		j.undo.add("traces", func() error { return spans.close(ctx) })
	}
	// From now on, so that a relay that waits for its journal can be asked; closed before what it leads to.
	stopControl := sync.OnceValue(serveControl(ctx, dir, j, cfg.Journal, &j.past, log))
	j.undo.add("control socket", stopControl)

	j.providers = auth.NewTransport()
	j.undo.add("connections to the providers", func() error { j.providers.CloseIdleConnections(); return nil })
	if j.store, err = p.openStore(ctx, dir, log); err != nil {
		return nil, err
	}
	if err := checkGrants(cfg, j.store, log); err != nil {
		return nil, err
	}
	if err := p.openServer(ctx, j, cfg, dir); err != nil {
		return nil, err
	}
	var trace func(pipeline.Stage)
	if spans != nil {
		trace = spans.add
	}
	if err := j.openJournal(ctx, cfg.Journal, metrics, trace); err != nil {
		return nil, err
	}
	if j.attempts, err = attempts.Open(ctx, attempts.Config{Log: j.storage.attempts, Logger: log, Metrics: metrics}); err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if j.lanes, err = delivery.New(ctx, delivery.Config{
		Journal: j.journal, CursorFile: filepath.Join(dir, cursorsFile), Logger: log, Metrics: metrics, Trace: trace,
	}); err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if cfg.Alerts.Sink != "" {
		j.alerts = journal.NewAlerts(j.journal, cfg.Alerts.Sink, log)
	}
	j.undo.add("control socket", stopControl)
	j.monitor.open()
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
		opened.add("sink "+c.Name, part.sink.Close)
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
		j.undo.add("http", stop)
	}
	return j, nil
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
func (j *job) serve(ctx context.Context, again *reloader) (err error) {
	defer func() {
		closing := j.undo.run()
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
	upkeep := j.keepUp(hard)
	attempts.Go(func() { j.attempts.Run(hard) })
	for _, part := range j.parts().sinks {
		part.start(hard, &r.lanes, j, stop)
	}
	for _, part := range j.parts().accounts {
		part.start(taking, stop)
	}
	asked := again.triggers(taking, &triggers)
	j.log.Info().Int("accounts", len(j.parts().sources())).Int("sinks", len(j.parts().sinks)).Str("version", version()).Msg("relay runs")
	defer j.supervise(context.WithoutCancel(ctx))()

	var ending sync.WaitGroup
	ending.Go(func() { keepMemorySmall(taking) })
	ending.Go(func() { // also in the middle of a reload
		<-taking.Done()
		j.monitor.stop()
		tellManager(j.log, daemon.SdNotifyStopping+"\nSTATUS=delivers what it has received")
		limit := time.NewTimer(drainTime)
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

// teardown is what is to be closed, last opened first.
type teardown []closer

type closer struct {
	name  string
	close func() error
}

func (t *teardown) add(name string, closeIt func() error) { *t = append(*t, closer{name, closeIt}) }

func (t *teardown) run() error {
	var errs []error
	for _, c := range slices.Backward(*t) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	*t = nil
	return errors.Join(errs...)
}
