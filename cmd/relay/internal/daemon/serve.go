package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/pipeline"
)

var (
	errDrainTime  = errors.New("the time to deliver the rest is up")
	errLanesEnded = errors.New("the lanes have ended")
)

// running is a job that is being served. It stops in this order: sources, journal, lanes, and what serves those.
type running struct {
	job  *job
	stop context.CancelCauseFunc // stops receiving, and so the job

	journal    sync.WaitGroup
	journalErr error // to be read after journal
	lanes      sync.WaitGroup
	attempts   sync.WaitGroup
	alerts     sync.WaitGroup
	stopAlerts context.CancelCauseFunc
	overlays   sync.WaitGroup
	stopUpkeep func() error
}

// serve runs the job until ctx ends or a part of it fails. Then it stops receiving, journals what it has received, and delivers what is
// journaled, for at most [DrainTime].
func (j *job) serve(ctx context.Context, reloader *Reloader) (err error) {
	defer func() { err = j.close(ctx, err) }()
	delivering, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	receiving, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	r := &running{job: j, stop: stop}
	r.start(receiving, delivering)
	var triggers, background sync.WaitGroup
	reload := reloader.triggers(receiving, &triggers)
	now := j.runners()
	j.log.Info().Int("accounts", len(now.sources())).Int("sinks", len(now.sinks)).Str("version", version.Number()).Msg("relay runs")
	defer j.supervise(context.WithoutCancel(ctx))()
	background.Go(func() { keepMemorySmall(receiving) })
	background.Go(func() { j.sample(receiving) })
	background.Go(func() { j.limitDrain(receiving, delivering, kill) })
	for receiving.Err() == nil {
		select {
		case <-receiving.Done():
		case <-reload:
			r.reload(receiving, delivering, reloader.load)
		}
	}
	cause := context.Cause(receiving)
	triggers.Wait()
	err = r.drain()
	kill(nil) // does nothing if the drain took too long
	background.Wait()
	if errors.Is(context.Cause(delivering), errDrainTime) {
		j.log.Warn().Msg("stopped with deliveries under way; they are made at the next start")
	}
	switch {
	case r.journalErr != nil:
		return r.journalErr
	case errors.Is(cause, pipeline.ErrSinkClosed), ctx.Err() != nil:
		return err
	default:
		return cause
	}
}

// start starts everything that is open. Sources run until receiving ends, all others until delivering does.
func (r *running) start(receiving, delivering context.Context) {
	j := r.job
	alerting, stopAlerts := context.WithCancelCause(delivering)
	r.stopAlerts = stopAlerts
	if alerts := j.sinks.alerts; alerts != nil {
		r.alerts.Go(func() { alerts.Run(alerting) })
	}
	r.journal.Go(func() {
		if r.journalErr = j.data.journal.Run(delivering); r.journalErr != nil {
			r.stop(r.journalErr)
		}
	})
	r.stopUpkeep = j.data.keepUp(delivering, j.sinks.lanes)
	r.attempts.Go(func() { j.sinks.attempts.Run(delivering) })
	r.overlays.Go(func() { j.pages.overlays.Run(alerting) })
	now := j.runners()
	for _, sink := range now.sinks {
		sink.start(delivering, &r.lanes, j.sinks, r.stop)
	}
	for _, account := range now.accounts {
		account.start(receiving, r.stop)
	}
}

// drain waits for the sources, which have been told to stop, and then stops everything else: each part when nothing can give it work any more.
func (r *running) drain() error {
	j := r.job
	now := j.runners()
	for _, account := range now.accounts {
		account.work.Wait()
	}
	j.data.journal.Close()
	r.journal.Wait()
	for _, sink := range now.sinks {
		sink.drain()
	}
	r.lanes.Wait()
	r.stopAlerts(errLanesEnded)
	r.alerts.Wait()
	r.overlays.Wait()
	j.sinks.attempts.Close()
	r.attempts.Wait()
	return r.stopUpkeep()
}

// limitDrain waits until receiving ends, even in the middle of a reload, announces that relay is stopping, and calls kill after [DrainTime].
func (j *job) limitDrain(receiving, delivering context.Context, kill context.CancelCauseFunc) {
	<-receiving.Done()
	j.monitor.stop()
	j.manager.stop()
	limit := time.NewTimer(DrainTime)
	defer limit.Stop()
	select {
	case <-limit.C:
		kill(errDrainTime)
	case <-delivering.Done():
	}
}

// close closes everything that is open, and adds its errors to err. If the job was told to stop and has delivered everything, it only logs them.
func (j *job) close(ctx context.Context, err error) error {
	closing := j.undo.Run()
	if err == nil && ctx.Err() != nil && closing != nil {
		j.log.Warn().Err(closing).Msg("not everything closed in time")
		return nil
	}
	return errors.Join(err, closing)
}
