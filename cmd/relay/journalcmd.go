package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// withJournal calls use with the journal, whether or not a relay runs on the data folder. What relay is doing goes on
// meanwhile. If none runs, none can be started until use returns.
func (p *program) withJournal(ctx context.Context, use func(*journal.Journal) error) error {
	return p.useJournal(ctx, use, func(undo *teardown) (storage, error) {
		s, dir, cfgErr, err := p.liveStorage(ctx, undo)
		if !errors.Is(err, errNoControl) {
			return s, err
		}
		if cfgErr != nil {
			return s, cfgErr
		}
		return p.openStorageAlone(ctx, dir, undo)
	})
}

// withLiveJournal calls use with the journal of the relay that runs on the data folder, or that on the server of journal.nats_url. It
// never takes the folder.
func (p *program) withLiveJournal(ctx context.Context, use func(*journal.Journal) error) error {
	return p.useJournal(ctx, use, func(undo *teardown) (storage, error) {
		s, dir, _, err := p.liveStorage(ctx, undo)
		if errors.Is(err, errNoControl) {
			err = noRelay(dir)
		}
		return s, err
	})
}

func (p *program) useJournal(ctx context.Context, use func(*journal.Journal) error, reach func(*teardown) (storage, error)) (err error) {
	var undo teardown
	defer func() { err = errors.Join(err, undo.run()) }()
	s, err := reach(&undo)
	if err != nil {
		return err
	}
	j, err := journal.Attach(ctx, journal.Config{Log: s.log, State: s.state, Attempts: attempts.NewReader(s.attempts), Logger: p.logger()})
	if err != nil {
		return withCode(exitUnavailable, err)
	}
	return use(j)
}

// liveStorage reaches the journal where it is: on the server of journal.nats_url, or within the relay that runs on the data folder.
// The error is an [errNoControl] if none runs; then cfgErr is what is wrong with the configuration, which is of no consequence else.
func (p *program) liveStorage(ctx context.Context, undo *teardown) (s storage, dir string, cfgErr, err error) {
	if dir, err = p.dataPath(); err != nil {
		return s, dir, nil, err
	}
	path, err := FindConfig(p.configPath, p.getenv)
	if err != nil {
		return s, dir, nil, withCode(exitConfig, err)
	}
	if path != "" {
		var cfg *Config
		if cfg, cfgErr = LoadConfig(path, p.getenv); cfgErr == nil && !cfg.Journal.NATSURL.Empty() {
			s, err = p.serverStorage(ctx, cfg.Journal, dir, undo)
			return s, dir, nil, err
		}
	}
	s, err = p.remoteStorage(ctx, dir, undo)
	switch {
	case errors.Is(err, errNoControl):
		return s, dir, cfgErr, err
	case errors.Is(err, errRemoteJournal):
		return s, dir, nil, withCode(exitConfig, errors.Join(cfgErr, fmt.Errorf("%w, which this configuration does not name; give its own with --config", err)))
	}
	return s, dir, nil, withCode(exitUnavailable, err)
}

// remoteStorage is the journal of the relay that runs on the data folder. The error is an [errNoControl] if none does.
func (p *program) remoteStorage(ctx context.Context, dir string, undo *teardown) (s storage, err error) {
	r, err := openRemote(ctx, dir)
	if err != nil {
		return s, err
	}
	undo.add("connection to the relay that runs", r.Close)
	attempts, err := readAttempts(ctx, dir, p.logger(), undo)
	return storage{log: r, state: r.state(), attempts: attempts}, err
}

// serverStorage is the journal on the server of journal.nats_url.
func (p *program) serverStorage(ctx context.Context, cfg JournalConfig, dir string, undo *teardown) (s storage, err error) {
	conn, err := dialServer(cfg)
	if err != nil {
		return s, err
	}
	undo.add("journal's connection", func() error { conn.Close(); return nil })
	if s, err = attachServer(ctx, conn, p.logger(), undo); err != nil {
		return s, err
	}
	s.attempts, err = readAttempts(ctx, dir, p.logger(), undo)
	return s, err
}

// dialServer connects to the server of journal.nats_url.
func dialServer(cfg JournalConfig) (*nats.Conn, error) {
	nc, err := nats.Connect(cfg.NATSURL.Reveal(), append(journalLogin(cfg), nats.NoReconnect(), nats.Name("relay command"))...)
	if err != nil {
		return nil, journalRefused(cfg, err)
	}
	return nc, nil
}

// openStorageAlone takes the data folder, and opens the journal in it for this process only; if a relay answers meanwhile, it is that one's journal.
func (p *program) openStorageAlone(ctx context.Context, dir string, undo *teardown) (s storage, err error) {
	at := filepath.Join(dir, journalDir)
	switch _, err := os.Stat(at); {
	case errors.Is(err, fs.ErrNotExist):
		return s, withCode(exitUnavailable, fmt.Errorf("open the journal in %s: %w; or name another data folder with --data-dir", dir, journal.ErrNoJournal))
	case err != nil:
		return s, withCode(exitUnavailable, fmt.Errorf("open the journal: %w; run this as the user that relay runs as", err))
	}
	lock, err := awaitLock(ctx, dir, "run this as the user that relay runs as", func() (err error) {
		s, err = p.remoteStorage(ctx, dir, undo) // it may have been starting
		return withCode(exitUnavailable, err)
	})
	switch {
	case errors.Is(err, errNoControl):
		return storage{}, withCode(exitUnavailable, fmt.Errorf("open the journal in %s: relay holds the folder and does not answer on %s; "+
			"wait until it has started or stopped, or restart it", dir, controlSocket))
	case err != nil:
		return storage{}, err
	case lock == nil:
		return s, nil
	}
	undo.add("data folder", lock.Close)
	if s, err = openFiles(ctx, dir, p.logger(), undo); err != nil {
		return s, withCode(exitUnavailable, err)
	}
	s.attempts, err = readAttempts(ctx, dir, p.logger(), undo)
	return s, err
}
