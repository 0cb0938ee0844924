package main

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
)

// openJournal opens the journal of the data folder, which is locked, with what stands beside it: the index and the log of attempts.
func (j *job) openJournal(ctx context.Context, cfg config.Journal, metrics *pipeline.Metrics, trace func(pipeline.Stage)) error {
	j.pipeline = metrics
	s, err := datadir.OpenStorage(ctx, cfg, j.dir, j.log, &j.undo)
	if err != nil {
		return err
	}
	j.storage = s
	j.index, err = index.Open(ctx, index.Config{Dir: filepath.Join(j.dir, datadir.IndexDir), Log: s.Log, Retention: cfg.Retention, Logger: j.log})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	j.undo.Add("index of the journal", j.index.Close)
	if err := j.reserveLost(ctx); err != nil {
		return exit.With(exit.Unavailable, err)
	}
	j.journal, err = journal.Open(ctx, journal.Config{
		Log: s.Log, State: s.State, Attempts: s.Attempts, Retention: cfg.Retention, Committed: j.index.Committed, Trace: trace,
		Logger: j.log, Metrics: metrics,
	})
	return exit.With(exit.Unavailable, err)
}

// reserveLost reports what the journal has lost of its end, as the index remembers it, and has those numbers not given again.
func (j *job) reserveLost(ctx context.Context) error {
	_, next := j.storage.Log.Bounds()
	through := j.index.Through()
	if through < next {
		return nil
	}
	lost, err := j.index.Lost(ctx, next)
	if err != nil {
		return err
	}
	for _, l := range lost {
		j.log.Error().Str("account", l.Account).Int("events", l.Events).Time("first", l.First).Time("last", l.Last).
			Msg("journal has lost its newest events, as by a restored backup: what the provider's history still holds is journaled again, and goes to the sinks that had not accepted it")
	}
	return j.storage.Log.Reserve(ctx, through)
}

// scrubEvery is how often the sealed segments of the journal are read and verified.
const scrubEvery = 24 * time.Hour

// keepUp runs what the journal needs beside its writer: the reader of the lanes, which also keeps their places, and the verification of what lies
// on disk for long. end stops it when the lanes have ended.
func (j *job) keepUp(ctx context.Context) (end func() error) {
	ctx, stop := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	var lanesErr error
	work.Go(func() { lanesErr = j.lanes.Run(ctx) })
	if file := j.storage.File; file != nil {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := file.Scrub(ctx); err != nil && ctx.Err() == nil {
					j.log.Warn().Err(err).Msg("journal cannot be verified in the background; trying again tomorrow")
				}
				select {
				case <-ctx.Done():
				case <-time.After(scrubEvery):
				}
			}
		})
	}
	return func() error {
		stop(errLanesEnded)
		work.Wait()
		return lanesErr
	}
}
