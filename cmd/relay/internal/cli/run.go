package cli

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// runOptions are the options of relay run, and of relay without a command.
type runOptions struct {
	*state.State
	sinks            []string // names or types; empty for all that are configured
	simulate         bool
	watch            bool
	backfillFirstRun bool
	simulator        simulatorFlags
	pages            *daemon.Pages // that are served already, or nil
}

func newRunCmd(s *state.State) *cobra.Command {
	o := runOptions{State: s}
	cmd := &cobra.Command{
		Use: "run", Short: "Receive treats and deliver them", Args: state.NoArgs,
		Long: `Receive the treats of every account in the configuration, journal them, and
deliver them to every sink, until Ctrl-C or SIGTERM. "relay" without a command
does the same. If it was started without a terminal, as by systemd, it reloads
the configuration on SIGHUP.

With --simulate it needs no account: it receives invented treats from a
simulated TreatStream, and prints them unless --sink selects another sink. A
simulation uses a temporary data folder.`,
		Example: "  relay run\n  relay run --sink overlay --log-format json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.Flags().Changed) },
	}
	o.register(cmd.Flags())
	return cmd
}

func (o *runOptions) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.sinks, "sink", nil, "run only this sink, by name or type; can be repeated")
	flags.BoolVar(&o.simulate, "simulate", false, "receive invented treats from a simulated TreatStream instead of those of the configured accounts")
	flags.BoolVar(&o.backfillFirstRun, "backfill-first-run", false, "when an account runs for the first time, also deliver the last 30 days of the provider's history")
	flags.BoolVar(&o.watch, "watch", false, "reload the configuration whenever its file changes, and not only on SIGHUP")
	o.simulator.register(flags)
}

// run runs relay until ctx ends. changed reports whether a flag was set.
func (o *runOptions) run(ctx context.Context, changed func(flag string) bool) error {
	err := o.runDaemon(ctx, changed)
	if errors.Is(err, exit.ErrSignal) { // it was told to stop during the start
		return nil
	}
	return err
}

func (o *runOptions) runDaemon(ctx context.Context, changed func(flag string) bool) error {
	log := o.Logger()
	daemon.LimitMemory(ctx, log)
	if o.simulate {
		return o.runSimulation(ctx, log)
	}
	for _, name := range simulatorFlagNames() {
		if changed(name) {
			return exit.Usagef("--%s requires --simulate", name)
		}
	}
	path, err := config.Find(o.ConfigPath, o.Getenv)
	if err != nil {
		return exit.With(exit.Config, err)
	}
	load := func() (*config.Config, error) { return o.loadConfig(log) }
	var reloader *daemon.Reloader
	if interactive := terminal.Is(o.In); !interactive || o.watch {
		reloader = daemon.NewReloader(path, o.watch, interactive, load)
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	dir, err := o.DataPath()
	if err != nil {
		return err
	}
	return daemon.Run(ctx, o.daemonOptions(cfg, dir, reloader, log))
}

func (o *runOptions) daemonOptions(cfg *config.Config, dir string, reloader *daemon.Reloader, log zerolog.Logger) daemon.Options {
	return daemon.Options{
		Config: cfg, Dir: dir, Out: o.Out, Notice: o.Err, Getenv: o.Getenv, Identity: o.Identity(), Reload: reloader, Pages: o.pages, Log: log,
	}
}

// loadConfig loads the configuration, with the sinks to run only.
func (o *runOptions) loadConfig(log zerolog.Logger) (*config.Config, error) {
	cfg, err := o.LoadConfigBy(config.Check, log)
	if err != nil {
		return nil, err
	}
	if err := requireAccounts(cfg); err != nil {
		return nil, err
	}
	if len(o.sinks) > 0 || needsSinks(cfg) {
		if cfg.Sinks, err = selectSinks(cfg, o.sinks); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Accounts {
		cfg.Accounts[i].BackfillFirstRun = o.backfillFirstRun
	}
	return cfg, nil
}
