package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/setup"
)

// withoutRelay opens the dashboard while no relay runs: for the first configuration or the first login, with a relay in this process.
func (o *dashboardOptions) withoutRelay(ctx context.Context) error {
	stopped := exit.With(exit.Unavailable, &advice.Error{Err: errors.New("no relay runs on this data folder"), Fix: advice.Do("start it with relay")})
	if o.moderator {
		return stopped
	}
	if path := o.unwrittenConfig(); path != "" {
		return o.setUp(ctx, path)
	}
	dir, err := o.DataPath()
	if err != nil {
		return err
	}
	cfg, err := o.LoadConfig(zerolog.Nop())
	if err != nil {
		return err
	}
	if !cfg.HTTP.Served() || !daemon.AwaitsLogin(ctx, cfg, dir, o.Identity()) {
		return stopped
	}
	return o.firstLogin(ctx, cfg.HTTP)
}

// firstLogin runs relay, although no account is logged in, and opens its dashboard.
func (o *dashboardOptions) firstLogin(ctx context.Context, cfg config.HTTP) error {
	pages, err := daemon.OpenPages(ctx, cfg)
	if err != nil {
		return err
	}
	defer pages.Close()
	if err := o.Say("No account is logged in yet. relay runs now, until Ctrl-C, and the dashboard leads through the login. To start it again, run: %s", o.Command()); err != nil {
		return err
	}
	if err := o.show(pages.Link(cfg)); err != nil {
		return err
	}
	run := runOptions{State: o.State, pages: pages}
	return run.run(ctx, func(string) bool { return false })
}

// unwrittenConfig returns the path at which a first configuration belongs, or "" if there is a configuration.
func (o *dashboardOptions) unwrittenConfig() string {
	named := o.ConfigPath
	if named == "" {
		named, _ = o.Getenv("RELAY_CONFIG")
	}
	if named == "" {
		found, err := config.Find("", o.Getenv)
		if err != nil {
			return ""
		}
		named = cmp.Or(found, "relay.yaml")
	}
	if !setup.Needed(named) {
		return ""
	}
	return named
}

// setUp serves the page that makes the first configuration, and then runs relay with it.
func (o *dashboardOptions) setUp(ctx context.Context, path string) error {
	log := o.Logger()
	unlock, err := o.onlySetup()
	if err != nil {
		return err
	}
	defer unlock()
	if err := o.Say("There is no configuration yet. The page in the browser makes %s.", path); err != nil {
		return err
	}
	pages, err := daemon.Setup(ctx, daemon.SetupOptions{
		Path: path, Getenv: o.Getenv, Log: log,
		Open: o.show,
	})
	if errors.Is(err, exit.ErrSignal) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pages.Close()
	unlock()
	if err := o.Say("Wrote %s. relay runs with it now, until Ctrl-C. To start it again, run: %s", path, o.Command()); err != nil {
		return err
	}
	run := runOptions{State: o.State, pages: pages}
	return run.run(ctx, func(string) bool { return false })
}

// onlySetup makes sure that no other setup is under way: it holds the lock of the data folder, until unlock is called.
func (o *dashboardOptions) onlySetup() (unlock func(), err error) {
	dir, err := o.DataPath()
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, exit.With(exit.Unavailable, fmt.Errorf("make the data folder: %w", err))
	}
	lock := datadir.NewLock(dir)
	ok, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, exit.With(exit.Unavailable, fmt.Errorf("lock the data folder %s: %w", dir, err))
	case !ok:
		return nil, exit.With(exit.Unavailable, &advice.Error{
			Err: errors.New("another relay dashboard is setting up relay; its terminal has the address of the page"),
			Fix: advice.Do("if that address is used up, end it with Ctrl-C and run this again"),
		})
	}
	return func() { _ = lock.Unlock() }, nil
}
