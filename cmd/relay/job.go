package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// drainTime is how long a stopping relay goes on delivering what it has received. With what it takes to close everything
// after that, relay is gone within 10 s, when service managers lose patience.
const drainTime = 7 * time.Second

// A job is the main job put together: accounts, journal and lanes.
type job struct {
	log     zerolog.Logger
	metrics *prometheus.Registry
	server  *pipeline.Server // nil if nothing needs it
	journal *pipeline.Journal
	// attempts is the log of what the sinks do.
	attempts *pipeline.AttemptLog
	// accounts are kept fresh, used or not; sources are those that receive treats.
	accounts map[string]*auth.Account
	sources  []*source
	lanes    []*pipeline.Lane
	alerts   *pipeline.Alerts // nil if nobody wants to be told
	undo     teardown
}

// newJob opens everything and starts nothing. On an error everything is closed again.
func (p *program) newJob(ctx context.Context, cfg *Config, dir string, log zerolog.Logger) (_ *job, err error) {
	j := &job{log: log, metrics: prometheus.NewRegistry()}
	var opened teardown // sinks, which are their lanes' to close once those run
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.run(), j.undo.run())
		}
	}()
	j.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := pipeline.NewMetrics(j.metrics)

	if j.accounts, err = p.openGrants(ctx, cfg, dir, auth.NewMetrics(j.metrics), log); err != nil {
		return nil, err
	}
	if err := p.openServer(ctx, j, cfg, dir); err != nil {
		return nil, err
	}
	conn, err := j.journalConn(ctx, cfg.Journal)
	if err != nil {
		return nil, err
	}
	j.undo.add("journal's connection", func() error { conn.Close(); return nil })
	jc := pipeline.JournalConfig{Conn: conn, Retention: cfg.Journal.Retention, Log: log, Metrics: metrics}
	if cfg.Journal.NATSURL.Empty() {
		jc.Revive = j.server.Revive
	}
	j.journal, err = pipeline.OpenJournal(ctx, jc)
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if j.attempts, err = pipeline.OpenAttemptLog(ctx, jc); err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if cfg.Alerts.Sink != "" {
		j.alerts = pipeline.NewAlerts(j.journal, cfg.Alerts.Sink, log)
	}
	var past pasts
	j.undo.add("control socket", serveControl(ctx, dir, j.server, cfg.Journal, &past, log))
	for _, s := range cfg.Sinks {
		env := sinks.Env{
			Name: s.Name, Stdout: p.out, UserAgent: userAgent(), Log: log.With().Str("sink", s.Name).Logger(),
			NATS:   func(ctx context.Context) (*nats.Conn, error) { return j.server.Overlay(ctx) },
			Bearer: j.bearer, Revive: func() error { return j.server.Revive() },
			Attempt: func(a pipeline.Attempt) {
				a.Sink = s.Name
				j.attempts.Add(a)
			},
		}
		sink, err := s.Config.Open(ctx, env)
		if err != nil {
			code := exitUnavailable
			if _, ok := errors.AsType[*sinks.FieldError](err); ok { // in a file that a key names
				code = exitConfig
			}
			return nil, withCode(code, fmt.Errorf("open sink %s: %w", s.Name, err))
		}
		opened.add("sink "+s.Name, sink.Close)
		lc := s.Lane
		lc.Sink, lc.Log = s.Name, log
		if j.alerts != nil && s.Name != cfg.Alerts.Sink {
			lc.Alert = j.alerts.Raise
		}
		lane, err := pipeline.OpenLane(ctx, j.journal, sink, lc)
		if err != nil {
			return nil, withCode(exitUnavailable, err)
		}
		j.lanes = append(j.lanes, lane)
	}
	connected := newSourceMetrics(j.metrics)
	for _, a := range cfg.Accounts {
		if !receives(a) {
			continue
		}
		s, err := newSource(a, j.accounts[a.Account], j.journal, dir, connected, log)
		if err != nil {
			return nil, err
		}
		j.sources = append(j.sources, s)
	}
	past.set(j.sources)
	if cfg.HTTP.Listen != "" {
		stop, err := serveHTTP(ctx, cfg.HTTP.Listen, j.metrics, log)
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

// serve runs the job until ctx ends or a part of it cannot go on. Then it stops taking in, journals what it has received,
// and delivers what is journaled, for as long as drainTime allows.
func (j *job) serve(ctx context.Context) (err error) {
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

	var journal, lanes, sources, alerts, attempts sync.WaitGroup
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
	attempts.Go(func() { j.attempts.Run(hard) })
	for _, l := range j.lanes {
		lanes.Go(func() {
			err := l.Run(hard)
			if err == nil {
				return
			}
			if !errors.Is(err, pipeline.ErrSinkClosed) {
				j.log.Error().Err(err).Msg("lane ended")
			}
			stop(err)
		})
	}
	for _, a := range j.accounts {
		sources.Go(func() { a.Run(taking) })
	}
	for _, s := range j.sources {
		sources.Go(func() {
			if err := s.run(taking); err != nil {
				stop(err)
			}
		})
		if s.history != nil {
			sources.Go(func() { s.history.Run(taking) })
		}
	}
	j.log.Info().Int("accounts", len(j.sources)).Int("sinks", len(j.lanes)).Str("version", version()).Msg("relay runs")
	defer j.supervise(context.WithoutCancel(ctx))()

	<-taking.Done()
	cause := context.Cause(taking)
	limit := time.AfterFunc(drainTime, func() { kill(errDrainTime) })
	defer limit.Stop()
	tellManager(j.log, daemon.SdNotifyStopping+"\nSTATUS=delivers what it has received")
	sources.Wait()
	j.journal.Close()
	journal.Wait()
	for _, l := range j.lanes {
		l.Drain()
	}
	lanes.Wait()
	quiet(errLanesEnded)
	alerts.Wait()
	j.attempts.Close()
	attempts.Wait()
	if errors.Is(context.Cause(hard), errDrainTime) {
		j.log.Warn().Msg("stopped with deliveries under way; they are made at the next start")
	}
	switch {
	case journalErr != nil:
		return journalErr
	case errors.Is(cause, pipeline.ErrSinkClosed), ctx.Err() != nil:
		return nil
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
