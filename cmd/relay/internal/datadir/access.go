package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/configview"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/overlays"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// An Access gives a command access to the journal of a data folder, whether or not a relay runs there. It is for one goroutine.
type Access struct {
	Dir        string // the data folder
	ConfigPath string // as the user gave it
	Getenv     func(string) (string, bool)
	Log        zerolog.Logger

	path string         // of the configuration; empty: there is none
	cfg  *config.Config // nil if there is none, or it has faults
}

// Client returns a client of the local API, whether or not a relay runs on the data folder. If none runs, the API is served in this process, and no
// relay can start until undo runs.
func (a *Access) Client(ctx context.Context, undo *Teardown) (*api.Client, error) {
	c, cfgErr, err := a.live(ctx, undo)
	switch {
	case !errors.Is(err, api.ErrNoRelay):
		return c, err
	case cfgErr != nil:
		return nil, cfgErr
	}
	return a.Exclusive(ctx, undo)
}

// FilesClient is Client for a journal that is known to be in files. It ignores faults of the configuration.
func (a *Access) FilesClient(ctx context.Context, undo *Teardown) (*api.Client, error) {
	c, _, err := a.live(ctx, undo)
	if errors.Is(err, api.ErrNoRelay) {
		return a.Exclusive(ctx, undo)
	}
	return c, err
}

// LiveClient returns a client of the relay that runs on the data folder, or of the journal on the server of journal.nats_url. It never locks the
// folder.
func (a *Access) LiveClient(ctx context.Context, undo *Teardown) (*api.Client, error) {
	c, _, err := a.live(ctx, undo)
	if errors.Is(err, api.ErrNoRelay) {
		err = api.NotRunning(a.Dir)
	}
	return c, err
}

// live returns a client of the journal on the server of journal.nats_url, or of the relay that runs on the data folder. The error is an
// [api.ErrNoRelay] if there is neither; only then cfgErr, the error of the configuration, matters.
func (a *Access) live(ctx context.Context, undo *Teardown) (c *api.Client, cfgErr, err error) {
	path, err := config.Find(a.ConfigPath, a.Getenv)
	if err != nil {
		return nil, nil, exit.With(exit.Config, err)
	}
	if a.path = path; path != "" {
		if a.cfg, cfgErr = config.Load(path, a.Getenv); cfgErr == nil && !a.cfg.Journal.NATSURL.Empty() {
			c, err = a.OnServer(ctx, a.cfg.Journal, undo)
			return c, nil, err
		}
	}
	c, err = Running(ctx, a.Dir, undo)
	return c, cfgErr, err
}

// Running returns a client of the relay that runs on a data folder. The error is an [api.ErrNoRelay] if none does.
func Running(ctx context.Context, dir string, undo *Teardown) (*api.Client, error) {
	c, err := api.Connect(ctx, dir)
	switch {
	case errors.Is(err, api.ErrNoRelay):
		return nil, err
	case err != nil:
		return nil, exit.With(exit.Unavailable, err)
	}
	undo.Add("connection to the relay that runs", c.Close)
	return c, nil
}

// OnServer serves the API in this process, over the journal on the server of journal.nats_url.
func (a *Access) OnServer(ctx context.Context, cfg config.Journal, undo *Teardown) (*api.Client, error) {
	s, err := ServerStorage(ctx, cfg, a.Dir, a.Log, undo)
	if err != nil {
		return nil, err
	}
	return a.serve(ctx, &s, undo)
}

// Exclusive locks the data folder, and serves the API in this process, over the journal in it. If a relay starts meanwhile, it returns a client of that.
func (a *Access) Exclusive(ctx context.Context, undo *Teardown) (*api.Client, error) {
	s, c, err := openExclusive(ctx, a.Dir, a.Log, undo)
	if err != nil || c != nil {
		return c, err
	}
	return a.serve(ctx, &s, undo)
}

// serve serves the API in this process, over open storage.
func (a *Access) serve(ctx context.Context, s *Storage, undo *Teardown) (*api.Client, error) {
	j, err := journal.Attach(ctx, journal.Config{Log: s.Log, State: s.State, Attempts: attempts.NewReader(s.Attempts), Logger: a.Log})
	if err != nil {
		return nil, exit.With(exit.Unavailable, err)
	}
	direct := api.NewDirect(server.New(server.Config{
		Journal: func(context.Context) (*journal.Journal, error) { return j, nil },
		Sinks:   a.sinks, Selections: a.selections,
		Pages: a.pages(j),

		Configuration: configview.New(a.path, a.Getenv).View,
	}))
	undo.Add("local API", direct.Close)
	return api.New(direct, a.Dir), nil
}

// pages returns what the API needs for the overlays of a journal, while no relay runs that shows them.
func (a *Access) pages(j *journal.Journal) server.Pages {
	cfg := a.cfg
	if cfg == nil {
		cfg = config.Default()
	}
	var mu sync.Mutex
	var opened *overlays.Service
	return server.Pages{
		Overlays: func(ctx context.Context) (server.Overlays, error) {
			mu.Lock()
			defer mu.Unlock()
			var err error
			if opened == nil {
				opened, err = overlays.Open(ctx, overlays.Config{
					Journal: j, Settings: cfg.OverlaySettings(), Files: filepath.Join(a.Dir, OverlaysDir), Log: a.Log,
				})
			}
			return opened, err
		},
		Accounts: cfg.AccountNames,
		PageURL:  func() string { return cfg.HTTP.URL("") },
	}
}

// RelayClient is [Access.Client], but prefers the relay that runs on the data folder to the server of journal.nats_url: for what a running relay holds in
// memory.
func (a *Access) RelayClient(ctx context.Context, undo *Teardown) (*api.Client, error) {
	c, err := Running(ctx, a.Dir, undo)
	if errors.Is(err, api.ErrNoRelay) {
		return a.Client(ctx, undo)
	}
	return c, err
}

// sinks returns the names and types of the configured sinks, if the configuration could be read.
func (a *Access) sinks() (names []string, types map[string]string) {
	if a.cfg == nil {
		return nil, nil
	}
	return a.cfg.SinkTypes()
}

// selections returns the rules of the configured sinks, if the configuration could be read.
func (a *Access) selections() map[string]rules.Selection {
	if a.cfg == nil {
		return nil
	}
	return a.cfg.Selections()
}

// ServerStorage opens the journal on the server of journal.nats_url, for a command. It creates nothing.
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

// openExclusive locks the data folder and opens the journal in it. If a relay starts meanwhile, it returns a client of that.
func openExclusive(ctx context.Context, dir string, log zerolog.Logger, undo *Teardown) (s Storage, c *api.Client, err error) {
	at := filepath.Join(dir, JournalDir)
	switch _, err := os.Stat(at); {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("open the journal in %s: %w", dir, journal.ErrNoJournal), Fix: advice.Do("or name another data folder with --data-dir"),
		})
	case err != nil:
		return s, nil, exit.With(exit.Unavailable, &advice.Error{Err: fmt.Errorf("open the journal: %w", err), Fix: sameUser()})
	}
	lock, err := awaitLock(ctx, dir, sameUser(), func() (err error) {
		c, err = Running(ctx, dir, undo) // it may have started by now
		return err
	})
	switch {
	case errors.Is(err, api.ErrNoRelay):
		return s, nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("open the journal in %s: relay holds the folder and does not answer on %s", dir, api.Socket),
			Fix: advice.Do("wait until it has started or stopped, or restart it"),
		})
	case err != nil:
		return s, nil, err
	case lock == nil:
		return s, c, nil
	}
	undo.Add("data folder", lock.Close)
	if s, err = openFiles(ctx, dir, log, undo); err != nil {
		return s, nil, exit.With(exit.Unavailable, err)
	}
	s.Attempts, err = readAttempts(ctx, dir, log, undo)
	return s, nil, err
}

// sameUser is what to do about files of the data folder that this process may not open.
func sameUser() advice.Fix { return advice.Do("run this as the user that relay runs as") }
