package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/jetstream"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// storage is what the journal is kept in: an engine's log and state, and the log of attempts, which is in files with either engine.
type storage struct {
	log      journal.Log
	state    journal.State
	conn     *nats.Conn   // to the journal's server; nil with engine file
	attempts journal.Log  // nil: there is none to be read
	file     *filelog.Log // the log of engine file; nil with the other one
}

// openStorage opens the engine that the configuration names, for the relay that runs on the data folder, which is locked.
func openStorage(ctx context.Context, cfg JournalConfig, dir string, log zerolog.Logger, undo *teardown) (s storage, err error) {
	if cfg.NATSURL.Empty() {
		s, err = openFiles(ctx, dir, log, undo)
	} else {
		s, err = openServerStorage(ctx, cfg, log, undo)
	}
	if err != nil {
		return s, withCode(exitUnavailable, err)
	}
	attempts, err := filelog.Open(ctx, filelog.Options{Dir: filepath.Join(dir, attemptsDir), NoSync: true, Log: log})
	if err != nil {
		return s, withCode(exitUnavailable, fmt.Errorf("open the log of attempts: %w", err))
	}
	undo.add("log of attempts", attempts.Close)
	s.attempts = attempts
	return s, nil
}

// openFiles opens engine file.
func openFiles(ctx context.Context, dir string, log zerolog.Logger, undo *teardown) (s storage, err error) {
	at := filepath.Join(dir, journalDir)
	if err := checkFormat(at); err != nil {
		return s, err
	}
	state, err := statefile.Open(ctx, statefile.Options{Dir: at, Log: log})
	if err != nil {
		return s, err
	}
	undo.add("journal's state", state.Close)
	file, err := filelog.Open(ctx, filelog.Options{Dir: at, Log: log})
	if err != nil {
		return s, err
	}
	undo.add("journal", file.Close)
	return storage{log: file, state: state, file: file}, nil
}

// checkFormat refuses the journal of a relay that kept it in an embedded NATS server. Nothing was released with it.
func checkFormat(at string) error {
	if _, err := os.Lstat(filepath.Join(at, "jetstream")); err == nil {
		return fmt.Errorf("open the journal in %s: it has the format of an early version, which this one does not read; move the folder away to begin with an empty journal, or choose another with --data-dir", at)
	}
	return nil
}

// openServerStorage opens engine jetstream, and waits for its server.
func openServerStorage(ctx context.Context, cfg JournalConfig, log zerolog.Logger, undo *teardown) (s storage, err error) {
	conn, err := journalConn(ctx, cfg, log)
	if err != nil {
		return s, err
	}
	undo.add("journal's connection", func() error { conn.Close(); return nil })
	server, state, err := jetstream.Open(ctx, jetstream.Options{Conn: conn, Retention: cfg.Retention, Replicas: cfg.Replicas, Log: log})
	if err != nil {
		return s, err
	}
	undo.add("journal", func() error { return errors.Join(state.Close(), server.Close()) })
	return storage{log: server, state: state, conn: conn}, nil
}

// connected reports whether the journal's server can be asked, if there is one.
func (s *storage) connected() bool { return s.conn == nil || s.conn.IsConnected() }

// attachServer opens engine jetstream for a command, which makes and changes nothing.
func attachServer(ctx context.Context, conn *nats.Conn, log zerolog.Logger, undo *teardown) (s storage, err error) {
	server, state, err := jetstream.Attach(ctx, jetstream.Options{Conn: conn, Log: log})
	if err != nil {
		return s, withCode(exitUnavailable, err)
	}
	undo.add("journal", func() error { return errors.Join(state.Close(), server.Close()) })
	return storage{log: server, state: state}, nil
}

// readAttempts opens the log of attempts of a data folder for reading, if there is one, whoever writes it.
func readAttempts(ctx context.Context, dir string, log zerolog.Logger, undo *teardown) (journal.Log, error) {
	at := filepath.Join(dir, attemptsDir)
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	attempts, err := filelog.OpenReader(ctx, filelog.Options{Dir: at, Log: log})
	if err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("open the log of attempts: %w; run this as the user that relay runs as", err))
	}
	undo.add("log of attempts", attempts.Close)
	return attempts, nil
}

// openJournal opens the journal of the data folder, which is locked, with what stands beside it: the index and the log of attempts.
func (j *job) openJournal(ctx context.Context, cfg JournalConfig, metrics *pipeline.Metrics, trace func(pipeline.Stage)) error {
	j.pipeline = metrics
	s, err := openStorage(ctx, cfg, j.dir, j.log, &j.undo)
	if err != nil {
		return err
	}
	j.storage = s
	j.index, err = index.Open(ctx, index.Config{Dir: filepath.Join(j.dir, indexDir), Log: s.log, Retention: cfg.Retention, Logger: j.log})
	if err != nil {
		return withCode(exitUnavailable, err)
	}
	j.undo.add("index of the journal", j.index.Close)
	if err := j.reserveLost(ctx); err != nil {
		return withCode(exitUnavailable, err)
	}
	j.journal, err = journal.Open(ctx, journal.Config{
		Log: s.log, State: s.state, Attempts: attempts.NewReader(s.attempts), Retention: cfg.Retention, Committed: j.index.Committed, Trace: trace,
		Logger: j.log, Metrics: metrics,
	})
	return withCode(exitUnavailable, err)
}

// reserveLost reports what the journal has lost of its end, as the index remembers it, and has those numbers not given again.
func (j *job) reserveLost(ctx context.Context) error {
	_, next := j.storage.log.Bounds()
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
	return j.storage.log.Reserve(ctx, through)
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
	if file := j.storage.file; file != nil {
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
