package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
)

// runFlags are those of the main job.
type runFlags struct {
	sinks    []string
	simulate bool
	watch    bool
	sim      simulatorFlags

	backfillFirstRun bool
}

func (f *runFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.sinks, "sink", nil, "run only this sink, by name or type; may be repeated")
	flags.BoolVar(&f.simulate, "simulate", false, "receive from a simulated TreatStream instead of the accounts of the configuration")
	flags.BoolVar(&f.backfillFirstRun, "backfill-first-run", false, "deliver the provider's history of 30 days too, when an account runs for the first time")
	flags.BoolVar(&f.watch, "watch", false, "load the configuration again whenever its file changes, and not only on SIGHUP")
	f.sim.register(flags)
}

// runRelay does the main job until ctx ends.
func runRelay(ctx context.Context, p *state.State, f *runFlags, flags *pflag.FlagSet) (err error) {
	defer func() {
		if errors.Is(err, exit.ErrSignal) { // told to stop while it was starting
			err = nil
		}
	}()
	log := p.Logger()
	daemon.LimitMemory(ctx, log)
	if f.simulate {
		return runSimulated(ctx, p, f, log)
	}
	for _, name := range simulatorFlagNames() {
		if flags.Changed(name) {
			return exit.Usagef("--%s goes with --simulate", name)
		}
	}
	path, err := config.Find(p.ConfigPath, p.Getenv)
	if err != nil {
		return exit.With(exit.Config, err)
	}
	load := func() (*config.Config, error) { return loadJob(p, f, log) }
	var again *daemon.Reloader
	if interactive := terminal.Is(p.In); !interactive || f.watch {
		again = daemon.NewReloader(path, f.watch, interactive, load)
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	dir, err := p.DataPath()
	if err != nil {
		return err
	}
	return daemon.Run(ctx, options(p, cfg, dir, again, log))
}

// options are those of a relay that this command runs.
func options(p *state.State, cfg *config.Config, dir string, again *daemon.Reloader, log zerolog.Logger) daemon.Options {
	return daemon.Options{
		Config: cfg, Dir: dir, Out: p.Out, Notice: p.Err, Getenv: p.Getenv, Identity: p.Identity(), Reload: again, Log: log,
	}
}

// loadJob reads the configuration of the main job: its accounts, and the sinks that are to run.
func loadJob(p *state.State, f *runFlags, log zerolog.Logger) (*config.Config, error) {
	cfg, err := p.LoadConfigBy(config.Check, log)
	if err != nil {
		return nil, err
	}
	if err := checkAccounts(cfg); err != nil {
		return nil, err
	}
	if len(f.sinks) > 0 || needsSinks(cfg) {
		if cfg.Sinks, err = selectSinks(cfg, f.sinks); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Accounts {
		cfg.Accounts[i].BackfillFirstRun = f.backfillFirstRun
	}
	return cfg, nil
}

func checkAccounts(cfg *config.Config) error {
	if len(cfg.Accounts) > 0 {
		return nil
	}
	return exit.With(exit.Config, fmt.Errorf("%s: no accounts: add one under accounts (docs/config.md), or try relay --simulate --sink stdout", cfg.Path))
}

// needsSinks reports whether sinks are to run. Without an account that receives treats relay keeps the tokens of the others fresh, and needs none.
func needsSinks(cfg *config.Config) bool {
	return len(cfg.Sinks) > 0 || slices.ContainsFunc(cfg.Accounts, config.Account.Receives)
}

// selectSinks returns the sinks to run: all that are configured, or those that wanted names by name or type. A type that
// is not configured stands for a sink with its defaults, if it can do without a configuration.
func selectSinks(cfg *config.Config, wanted []string) ([]config.Sink, error) {
	if len(wanted) == 0 {
		if len(cfg.Sinks) == 0 {
			return nil, exit.With(exit.Config, fmt.Errorf("%s: no sinks: add one under sinks (docs/config.md) or give --sink stdout", cfg.Path))
		}
		return cfg.Sinks, nil
	}
	var selected []config.Sink
	add := func(s config.Sink) {
		if !slices.ContainsFunc(selected, func(other config.Sink) bool { return other.Name == s.Name }) {
			selected = append(selected, s)
		}
	}
	for _, name := range wanted {
		found := false
		for _, byType := range []bool{false, true} { // a name goes before a type
			for _, s := range cfg.Sinks {
				if !found && !byType && s.Name == name || byType && s.Type == name {
					add(s)
					found = found || byType || s.Name == name
				}
			}
			if found {
				break
			}
		}
		if found {
			continue
		}
		c := sinks.NewConfig(name)
		if c == nil {
			var names []string
			for _, s := range cfg.Sinks {
				names = append(names, s.Name)
			}
			return nil, exit.Usagef("--sink %s: no sink has this name; configured are [%s], types are [%s]",
				name, strings.Join(names, ", "), strings.Join(sinks.Types(), ", "))
		}
		if err := c.Validate(); err != nil {
			return nil, exit.With(exit.Config, fmt.Errorf("--sink %s: no sink of this type is configured, and it needs to be: %s",
				name, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		add(config.Sink{Name: name, Type: name, Lane: delivery.LaneConfig{Concurrency: c.Concurrency()}, Config: c})
	}
	return selected, nil
}
