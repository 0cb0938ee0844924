// Package state is what the commands share: the streams of the process, what the global flags say, and the way to configuration, data and log.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// Streams are the process's own; everything below is handed them.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) (string, bool)
}

// State is what the commands share.
type State struct {
	Streams
	ConfigPath string // as given by flag or environment
	DataDir    string
	LogLevel   string
	LogFormat  string
	Simulation string // the data folder of a simulation; empty in earnest
	Color      string
}

// SameFlags are the flags with which a command means the same configuration and data.
func (p *State) SameFlags() string {
	flags := ""
	if p.ConfigPath != "" {
		flags += " --config " + text.ShellQuote(p.ConfigPath)
	}
	if p.DataDir != "" {
		flags += " --data-dir " + text.ShellQuote(p.DataDir)
	}
	return flags
}

// CheckFlags refuses global flags that mean nothing.
func (p *State) CheckFlags() error {
	if _, err := zerolog.ParseLevel(p.LogLevel); err != nil || p.LogLevel == "" {
		return exit.Usagef("--log-level %q: want trace, debug, info, warn or error", p.LogLevel)
	}
	switch p.LogFormat {
	case "auto", "console", "json":
	default:
		return exit.Usagef("--log-format %q: want auto, console or json", p.LogFormat)
	}
	switch p.Color {
	case "auto", "always", "never":
	default:
		return exit.Usagef("--color %q: want auto, always or never", p.Color)
	}
	return nil
}

// FromEnvironment sets every flag that was not given from its variable, such as RELAY_LOG_LEVEL for --log-level.
func (p *State) FromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "RELAY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := p.Getenv(name)
		if !ok || value == "" || f.Changed || f.Name == "help" || f.Name == "config" || annotated(f, commandLineOnly) { // FindConfig reads RELAY_CONFIG
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, exit.Usagef("%s=%q: %w", name, value, err))
		}
		annotate(f, fromVariable)
	})
	return errors.Join(errs...)
}

// Logger writes to stderr, as the flags say.
func (p *State) Logger() zerolog.Logger {
	noColor, _ := p.Getenv("NO_COLOR")
	return telemetry.NewLogger(p.Err, telemetry.LogOptions{Level: p.LogLevel, Format: p.LogFormat, Color: p.Color, NoColor: noColor != ""})
}

// FindConfig returns the path of the configuration, or says how to come by one.
func (p *State) FindConfig() (string, error) {
	path, err := config.Find(p.ConfigPath, p.Getenv)
	if err == nil && path == "" {
		err = errors.New("no configuration: there is no relay.yaml here or in the user's config folder; " +
			"write one with relay init, name one with --config, or try relay --simulate --sink stdout")
	}
	return path, exit.With(exit.Config, err)
}

// LoadConfig finds, reads and checks the configuration, and logs its warnings.
func (p *State) LoadConfig(log zerolog.Logger) (*config.Config, error) {
	return p.LoadConfigBy(config.Load, log)
}

// LoadConfigBy does so with [config.Load] or [config.Check].
func (p *State) LoadConfigBy(load func(string, func(string) (string, bool)) (*config.Config, error), log zerolog.Logger) (*config.Config, error) {
	path, err := p.FindConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := load(path, p.Getenv)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		log.Warn().Msg(w.Error())
	}
	return cfg, nil
}

// DataPath is the data folder: the flag's, else the user's own. It is refused if others could put files into it.
func (p *State) DataPath() (string, error) {
	dir, err := datadir.Choose(p.DataDir, p.Getenv)
	if err == nil {
		err = exit.With(exit.Unavailable, datadir.Check(dir))
	}
	return dir, err
}

// Identity says what tokens are sealed with.
func (p *State) Identity() store.IdentityOptions {
	return grants.IdentityOptions(p.Getenv, p.Simulation)
}

// Access is the way to the journal.
func (p *State) Access() (*datadir.Access, error) {
	dir, err := p.DataPath()
	return &datadir.Access{Dir: dir, ConfigPath: p.ConfigPath, Getenv: p.Getenv, Log: p.Logger()}, err
}

// WithAPI calls use with a client of the local API, whether or not a relay runs on the data folder.
func (p *State) WithAPI(ctx context.Context, use func(*api.Client) error) error {
	return p.withAPI(ctx, (*datadir.Access).Client, use)
}

// WithLiveAPI calls use with a client of the relay that runs on the data folder, or of the journal on the server of journal.nats_url.
func (p *State) WithLiveAPI(ctx context.Context, use func(*api.Client) error) error {
	return p.withAPI(ctx, (*datadir.Access).LiveClient, use)
}

func (p *State) withAPI(
	ctx context.Context, reach func(*datadir.Access, context.Context, *datadir.Teardown) (*api.Client, error), use func(*api.Client) error,
) (err error) {
	a, err := p.Access()
	if err != nil {
		return err
	}
	var undo datadir.Teardown
	defer func() { err = errors.Join(err, undo.Run()) }()
	c, err := reach(a, ctx, &undo)
	if err != nil {
		return err
	}
	return use(c)
}

// Say writes a line for people, on standard error.
func (p *State) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.Err, format+"\n", args...)
	return err
}

// Print writes lines of data to stdout.
func (p *State) Print(lines ...string) error {
	_, err := fmt.Fprintln(p.Out, strings.Join(lines, "\n"))
	return err
}

// RelayRuns reports whether a relay runs on the data folder.
func (p *State) RelayRuns(ctx context.Context) bool {
	dir, err := p.DataPath()
	if err != nil {
		return false
	}
	conn, err := api.Dial(ctx, dir)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only to see who answers
	return true
}
