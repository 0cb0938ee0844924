package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// unwrittenConfig returns the path at which a first configuration belongs, or "" if there is a configuration.
func (o *dashboardOptions) unwrittenConfig() string {
	named := o.ConfigPath
	if named == "" {
		named, _ = o.Getenv("RELAY_CONFIG")
	}
	if named != "" {
		if _, err := os.Lstat(named); errors.Is(err, fs.ErrNotExist) {
			return named
		}
		return ""
	}
	if found, err := config.Find("", o.Getenv); err != nil || found != "" {
		return ""
	}
	return "relay.yaml"
}

// setUp serves the page that makes the first configuration, and then runs relay with it.
func (o *dashboardOptions) setUp(ctx context.Context, path string) error {
	log := o.Logger()
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
	if err := o.Say("Wrote %s. relay runs with it now, until Ctrl-C. To start it again, run: %s", path, o.Command()); err != nil {
		return err
	}
	run := runOptions{State: o.State, pages: pages}
	return run.run(ctx, func(string) bool { return false })
}
