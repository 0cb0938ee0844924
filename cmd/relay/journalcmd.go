package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline"
)

// withJournal calls use with the journal, whether or not a relay runs on the data folder. What relay is doing goes on
// meanwhile. If none runs, none can be started until use returns.
func (p *program) withJournal(ctx context.Context, use func(*pipeline.Journal) error) error {
	return useJournal(ctx, use, func(undo *teardown) (*nats.Conn, error) {
		conn, dir, cfgErr, err := p.liveJournal(ctx)
		if !errors.Is(err, errNoControl) {
			return conn, err
		}
		if cfgErr != nil {
			return nil, cfgErr
		}
		return p.openJournalDir(ctx, dir, undo)
	})
}

// withLiveJournal calls use with the journal of the relay that runs on the data folder, or that on the server of journal.nats_url. It
// never takes the folder.
func (p *program) withLiveJournal(ctx context.Context, use func(*pipeline.Journal) error) error {
	return useJournal(ctx, use, func(*teardown) (*nats.Conn, error) {
		conn, dir, _, err := p.liveJournal(ctx)
		if errors.Is(err, errNoControl) {
			err = noRelay(dir)
		}
		return conn, err
	})
}

func useJournal(ctx context.Context, use func(*pipeline.Journal) error, reach func(*teardown) (*nats.Conn, error)) (err error) {
	var undo teardown
	defer func() { err = errors.Join(err, undo.run()) }()
	conn, err := reach(&undo)
	if err != nil {
		return err
	}
	undo.add("journal's connection", func() error { conn.Close(); return nil })
	journal, err := pipeline.AttachJournal(ctx, conn)
	if err != nil {
		return withCode(exitUnavailable, err)
	}
	return use(journal)
}

// liveJournal connects to the journal where it is: on the server of journal.nats_url, or within the relay that runs on the data folder.
// The error is an [errNoControl] if none runs; then cfgErr is what is wrong with the configuration, which is of no consequence else.
func (p *program) liveJournal(ctx context.Context) (conn *nats.Conn, dir string, cfgErr, err error) {
	if dir, err = p.dataPath(); err != nil {
		return nil, dir, nil, err
	}
	path, err := FindConfig(p.configPath, p.getenv)
	if err != nil {
		return nil, dir, nil, withCode(exitConfig, err)
	}
	if path != "" {
		var cfg *Config
		if cfg, cfgErr = LoadConfig(path, p.getenv); cfgErr == nil && !cfg.Journal.NATSURL.Empty() {
			conn, err = dialServer(cfg.Journal)
			return conn, dir, nil, err
		}
	}
	inner, user, password, err := dialJournal(ctx, dir)
	switch {
	case errors.Is(err, errNoControl):
		return nil, dir, cfgErr, err
	case errors.Is(err, errRemoteJournal):
		return nil, dir, nil, withCode(exitConfig, errors.Join(cfgErr, fmt.Errorf("%w, which this configuration does not name; give its own with --config", err)))
	case err != nil:
		return nil, dir, nil, withCode(exitUnavailable, err)
	}
	conn, err = overConn(inner, nats.UserInfo(user, password.Reveal()))
	return conn, dir, nil, err
}

// dialed is a connection for the NATS client to use.
type dialed struct{ net.Conn }

// Dial implements [nats.CustomDialer].
func (d dialed) Dial(string, string) (net.Conn, error) { return d.Conn, nil }

func overConn(conn net.Conn, opts ...nats.Option) (*nats.Conn, error) {
	opts = append(opts, nats.SetCustomDialer(dialed{conn}), nats.NoReconnect(), nats.Name("relay command"),
		nats.CustomInboxPrefix("_RELAY"), nats.Timeout(controlTimeout))
	nc, err := nats.Connect("nats://127.0.0.1", opts...) // an address that is not used
	if err != nil {
		return nil, withCode(exitUnavailable, errors.Join(fmt.Errorf("connect to the journal: %w", err), conn.Close()))
	}
	return nc, nil
}

// dialServer connects to the server of journal.nats_url.
func dialServer(cfg JournalConfig) (*nats.Conn, error) {
	nc, err := nats.Connect(cfg.NATSURL.Reveal(), append(journalLogin(cfg), nats.NoReconnect(), nats.Name("relay command"))...)
	if err != nil {
		return nil, journalRefused(cfg, err)
	}
	return nc, nil
}

// lockPatience is how long a command waits for a relay that is starting or stopping, or for another command.
const lockPatience = 5 * time.Second

// openJournalDir takes the data folder, and starts the server in it that keeps the journal, for this process only.
func (p *program) openJournalDir(ctx context.Context, dir string, undo *teardown) (*nats.Conn, error) {
	switch _, err := os.Stat(filepath.Join(dir, journalDir)); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, withCode(exitUnavailable, fmt.Errorf("open the journal in %s: %w; or name another data folder with --data-dir", dir, pipeline.ErrNoJournal))
	case err != nil:
		return nil, withCode(exitUnavailable, fmt.Errorf("open the journal: %w; run this as the user that relay runs as", err))
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	for deadline := time.Now().Add(lockPatience); ; {
		ok, err := lock.TryLock()
		if err != nil {
			return nil, withCode(exitUnavailable, fmt.Errorf("lock the data folder %s: %w; run this as the user that relay runs as", dir, err))
		}
		if ok {
			break
		}
		conn, user, password, err := dialJournal(ctx, dir) // it may have been starting
		switch {
		case err == nil:
			return overConn(conn, nats.UserInfo(user, password.Reveal()))
		case !errors.Is(err, errNoControl):
			return nil, withCode(exitUnavailable, err)
		case time.Now().After(deadline):
			return nil, withCode(exitUnavailable, fmt.Errorf("open the journal in %s: relay holds the folder and does not answer on %s; "+
				"wait until it has started or stopped, or restart it", dir, controlSocket))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	undo.add("data folder", lock.Close)
	server, err := pipeline.StartServer(ctx, pipeline.ServerConfig{Dir: filepath.Join(dir, journalDir), Log: p.logger()})
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	undo.add("embedded NATS server", func() error { server.Close(); return nil })
	conn, err := server.Journal(ctx)
	return conn, withCode(exitUnavailable, err)
}
