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

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// An Access is how a command comes to the journal of a data folder, whether or not a relay runs there.
type Access struct {
	Dir        string // the data folder
	ConfigPath string // as the user gave it
	Getenv     func(string) (string, bool)
	Log        zerolog.Logger
}

// Use calls use with the journal, whether or not a relay runs on the data folder. What relay is doing goes on
// meanwhile. If none runs, none can be started until use returns.
func (a *Access) Use(ctx context.Context, use func(*journal.Journal) error) error {
	return a.with(ctx, use, a.Open)
}

// UseLive calls use with the journal of the relay that runs on the data folder, or that on the server of journal.nats_url. It
// never takes the folder.
func (a *Access) UseLive(ctx context.Context, use func(*journal.Journal) error) error {
	return a.with(ctx, use, func(ctx context.Context, undo *Teardown) (Storage, error) {
		s, _, err := a.live(ctx, undo)
		if errors.Is(err, api.ErrNoRelay) {
			err = api.NotRunning(a.Dir)
		}
		return s, err
	})
}

// Open opens the storage of the journal where it is.
func (a *Access) Open(ctx context.Context, undo *Teardown) (Storage, error) {
	s, cfgErr, err := a.live(ctx, undo)
	if !errors.Is(err, api.ErrNoRelay) {
		return s, err
	}
	if cfgErr != nil {
		return s, cfgErr
	}
	return OpenAlone(ctx, a.Dir, a.Log, undo)
}

// OpenFiles does so for files that are known to be there: what is wrong with the configuration does not count.
func (a *Access) OpenFiles(ctx context.Context, undo *Teardown) (Storage, error) {
	s, _, err := a.live(ctx, undo)
	if errors.Is(err, api.ErrNoRelay) {
		s, err = OpenAlone(ctx, a.Dir, a.Log, undo)
	}
	return s, err
}

func (a *Access) with(ctx context.Context, use func(*journal.Journal) error, reach func(context.Context, *Teardown) (Storage, error)) (err error) {
	var undo Teardown
	defer func() { err = errors.Join(err, undo.Run()) }()
	s, err := reach(ctx, &undo)
	if err != nil {
		return err
	}
	j, err := journal.Attach(ctx, journal.Config{Log: s.Log, State: s.State, Attempts: attempts.NewReader(s.Attempts), Logger: a.Log})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	return use(j)
}

// live reaches the journal where it is: on the server of journal.nats_url, or within the relay that runs on the data folder.
// The error is an [api.ErrNoRelay] if none runs; then cfgErr is what is wrong with the configuration, which is of no consequence else.
func (a *Access) live(ctx context.Context, undo *Teardown) (s Storage, cfgErr, err error) {
	path, err := config.Find(a.ConfigPath, a.Getenv)
	if err != nil {
		return s, nil, exit.With(exit.Config, err)
	}
	if path != "" {
		var cfg *config.Config
		if cfg, cfgErr = config.Load(path, a.Getenv); cfgErr == nil && !cfg.Journal.NATSURL.Empty() {
			s, err = ServerStorage(ctx, cfg.Journal, a.Dir, a.Log, undo)
			return s, nil, err
		}
	}
	s, err = RunningStorage(ctx, a.Dir, a.Log, undo)
	switch {
	case errors.Is(err, api.ErrNoRelay):
		return s, cfgErr, err
	case errors.Is(err, api.ErrRemoteJournal):
		return s, nil, exit.With(exit.Config, errors.Join(cfgErr, fmt.Errorf("%w, which this configuration does not name; give its own with --config", err)))
	}
	return s, nil, exit.With(exit.Unavailable, err)
}

// RunningStorage is the journal of the relay that runs on the data folder. The error is an [api.ErrNoRelay] if none does.
func RunningStorage(ctx context.Context, dir string, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	r, err := api.OpenJournal(ctx, dir)
	if err != nil {
		return s, err
	}
	undo.Add("connection to the relay that runs", r.Close)
	attempts, err := readAttempts(ctx, dir, log, undo)
	return Storage{Log: r, State: r.State(), Attempts: attempts}, err
}

// ServerStorage is the journal on the server of journal.nats_url.
func ServerStorage(ctx context.Context, cfg config.Journal, dir string, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	conn, err := dialServer(cfg)
	if err != nil {
		return s, err
	}
	undo.Add("journal's connection", func() error { conn.Close(); return nil })
	if s, err = attachServer(ctx, conn, log, undo); err != nil {
		return s, err
	}
	s.Attempts, err = readAttempts(ctx, dir, log, undo)
	return s, err
}

// dialServer connects to the server of journal.nats_url.
func dialServer(cfg config.Journal) (*nats.Conn, error) {
	nc, err := nats.Connect(cfg.NATSURL.Reveal(), append(journalLogin(cfg), nats.NoReconnect(), nats.Name("relay command"))...)
	if err != nil {
		return nil, journalRefused(cfg, err)
	}
	return nc, nil
}

// OpenAlone takes the data folder, and opens the journal in it for this process only; if a relay answers meanwhile, it is that one's journal.
func OpenAlone(ctx context.Context, dir string, log zerolog.Logger, undo *Teardown) (s Storage, err error) {
	at := filepath.Join(dir, JournalDir)
	switch _, err := os.Stat(at); {
	case errors.Is(err, fs.ErrNotExist):
		return s, exit.With(exit.Unavailable, fmt.Errorf("open the journal in %s: %w; or name another data folder with --data-dir", dir, journal.ErrNoJournal))
	case err != nil:
		return s, exit.With(exit.Unavailable, fmt.Errorf("open the journal: %w; run this as the user that relay runs as", err))
	}
	lock, err := awaitLock(ctx, dir, "run this as the user that relay runs as", func() (err error) {
		s, err = RunningStorage(ctx, dir, log, undo) // it may have been starting
		return exit.With(exit.Unavailable, err)
	})
	switch {
	case errors.Is(err, api.ErrNoRelay):
		return Storage{}, exit.With(exit.Unavailable, fmt.Errorf("open the journal in %s: relay holds the folder and does not answer on %s; "+
			"wait until it has started or stopped, or restart it", dir, api.Socket))
	case err != nil:
		return Storage{}, err
	case lock == nil:
		return s, nil
	}
	undo.Add("data folder", lock.Close)
	if s, err = openFiles(ctx, dir, log, undo); err != nil {
		return s, exit.With(exit.Unavailable, err)
	}
	s.Attempts, err = readAttempts(ctx, dir, log, undo)
	return s, err
}
