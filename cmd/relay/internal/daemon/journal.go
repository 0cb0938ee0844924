package daemon

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// A journalService is the journal of a data folder, with its storage and its index.
type journalService struct {
	log     zerolog.Logger
	dir     string // the data folder; the process holds its lock
	metrics *pipeline.Metrics
	undo    *datadir.Teardown

	storage datadir.Storage
	journal *journal.Journal
	index   *index.Index
}

// newJournalService returns the service of a command, which serves no metrics. undo closes it.
func newJournalService(dir string, undo *datadir.Teardown, log zerolog.Logger) *journalService {
	return &journalService{log: log, dir: dir, metrics: pipeline.NewMetrics(prometheus.NewRegistry()), undo: undo}
}

// open opens storage, index and journal. trace receives the stages of treats; it may be nil.
func (j *journalService) open(ctx context.Context, cfg config.Journal, trace func(pipeline.Stage)) error {
	s, err := datadir.OpenStorage(ctx, cfg, j.dir, j.log, j.undo)
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
		Log: s.Log, State: s.State, Attempts: attempts.NewReader(s.Attempts), Retention: cfg.Retention, Committed: j.index.Committed, OnStage: trace,
		Logger: j.log, Metrics: j.metrics,
	})
	return exit.With(exit.Unavailable, err)
}

// reserveLost logs which events the journal has lost at its end, according to the index, and reserves their numbers, so that they are not assigned
// again.
func (j *journalService) reserveLost(ctx context.Context) error {
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

// scrubInterval is how often the sealed segments of the journal are verified.
const scrubInterval = 24 * time.Hour

// keepUp runs the background work of the journal: the dispatcher of the lanes, which also saves their cursors, and the verification of old segments.
// Call end when the lanes have ended; it stops the work and waits for it.
func (j *journalService) keepUp(ctx context.Context, lanes *delivery.Dispatcher) (end func() error) {
	ctx, stop := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	var lanesErr error
	work.Go(func() { lanesErr = lanes.Run(ctx) })
	if file := j.storage.File; file != nil {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := file.Scrub(ctx); err != nil && ctx.Err() == nil {
					j.log.Warn().Err(err).Msg("journal cannot be verified in the background; trying again tomorrow")
				}
				select {
				case <-ctx.Done():
				case <-time.After(scrubInterval):
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
