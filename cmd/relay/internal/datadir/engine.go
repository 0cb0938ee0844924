package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/jetstream"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// Storage is the open storage of a journal: an engine's log and state, and the log of attempts, which is in files with either engine.
type Storage struct {
	Log      journal.Log
	State    journal.State
	conn     *nats.Conn   // to the journal's server; nil with engine file
	Attempts journal.Log  // nil if there is none to read
	File     *filelog.Log // the log of engine file; nil with engine jetstream
}

// OpenStorage opens the storage that the configuration names, for a relay that runs. The caller must hold the lock of the data folder.
func OpenStorage(ctx context.Context, cfg config.Journal, dir string, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	if cfg.NATSURL.Empty() {
		s, err = openFiles(ctx, dir, log, undo)
	} else {
		s, err = openServerStorage(ctx, cfg, log, undo)
	}
	if err != nil {
		return s, exit.With(exit.Unavailable, err)
	}
	attempts, err := filelog.Open(ctx, filelog.Options{Dir: filepath.Join(dir, AttemptsDir), NoSync: true, Log: log})
	if err != nil {
		return s, exit.With(exit.Unavailable, fmt.Errorf("open the log of attempts: %w", err))
	}
	undo.Add("log of attempts", attempts.Close)
	s.Attempts = attempts
	return s, nil
}

// openFiles opens engine file.
func openFiles(ctx context.Context, dir string, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	at := filepath.Join(dir, JournalDir)
	if err := CheckFormat(at); err != nil {
		return s, err
	}
	state, err := statefile.Open(ctx, statefile.Options{Dir: at, Log: log})
	if err != nil {
		return s, err
	}
	undo.Add("journal's state", state.Close)
	file, err := filelog.Open(ctx, filelog.Options{Dir: at, Log: log})
	if err != nil {
		return s, err
	}
	undo.Add("journal", file.Close)
	return Storage{Log: file, State: state, File: file}, nil
}

// CheckFormat returns an error for a journal in the format of an early, unreleased version: an embedded NATS server.
func CheckFormat(at string) error {
	if _, err := os.Lstat(filepath.Join(at, "jetstream")); err == nil {
		return &advice.Error{
			Err: fmt.Errorf("open the journal in %s: it has the format of an early version, which this one does not read", at),
			Fix: advice.Do("move the folder away to begin with an empty journal, or choose another with --data-dir"),
		}
	}
	return nil
}

// openServerStorage opens engine jetstream. It waits for the server.
func openServerStorage(ctx context.Context, cfg config.Journal, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	conn, err := journalConn(ctx, cfg, log)
	if err != nil {
		return s, err
	}
	undo.Add("journal's connection", func() error { conn.Close(); return nil })
	server, state, err := jetstream.Open(ctx, jetstream.Options{Conn: conn, Retention: cfg.Retention, Replicas: cfg.Replicas, Log: log})
	if err != nil {
		return s, err
	}
	undo.Add("journal", func() error { return errors.Join(state.Close(), server.Close()) })
	return Storage{Log: server, State: state, conn: conn}, nil
}

// Connected reports whether the journal's server is connected. It is true for engine file.
func (s *Storage) Connected() bool { return s.conn == nil || s.conn.IsConnected() }

// attachServer opens engine jetstream for a command. It creates and changes nothing on the server.
func attachServer(ctx context.Context, conn *nats.Conn, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	server, state, err := jetstream.Attach(ctx, jetstream.Options{Conn: conn, Log: log})
	if err != nil {
		return s, exit.With(exit.Unavailable, err)
	}
	undo.Add("journal", func() error { return errors.Join(state.Close(), server.Close()) })
	return Storage{Log: server, State: state}, nil
}

// readAttempts opens the log of attempts of a data folder for reading, even while a relay writes it. The log is nil if there is none.
func readAttempts(ctx context.Context, dir string, log zerolog.Logger, undo *Teardown) (journal.Log, error) {
	at := filepath.Join(dir, AttemptsDir)
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	attempts, err := filelog.OpenReader(ctx, filelog.Options{Dir: at, Log: log})
	if err != nil {
		return nil, exit.With(exit.Unavailable, &advice.Error{Err: fmt.Errorf("open the log of attempts: %w", err), Fix: sameUser()})
	}
	undo.Add("log of attempts", attempts.Close)
	return attempts, nil
}
