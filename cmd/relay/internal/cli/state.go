package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
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
	configPath string // as given by flag or environment
	dataDir    string
	logLevel   string
	logFormat  string
	simulation string // the data folder of a simulation; empty in earnest
	color      string
}

var advice = regexp.MustCompile(`\brelay (?:auth (?:login|import|refresh|logout --force)|secrets rotate) [a-z0-9][a-z0-9_-]*`)

// advise completes the commands that a text tells the user to run, so that they mean the same configuration and data.
func (p *State) advise(text string) string {
	flags := p.sameFlags()
	return advice.ReplaceAllStringFunc(text, func(command string) string { return command + flags })
}

// sameFlags are the flags with which a command means the same configuration and data.
func (p *State) sameFlags() string {
	flags := ""
	if p.configPath != "" {
		flags += " --config " + text.ShellQuote(p.configPath)
	}
	if p.dataDir != "" {
		flags += " --data-dir " + text.ShellQuote(p.dataDir)
	}
	return flags
}

func (p *State) checkFlags() error {
	if _, err := zerolog.ParseLevel(p.logLevel); err != nil || p.logLevel == "" {
		return exit.Usagef("--log-level %q: want trace, debug, info, warn or error", p.logLevel)
	}
	switch p.logFormat {
	case "auto", "console", "json":
	default:
		return exit.Usagef("--log-format %q: want auto, console or json", p.logFormat)
	}
	switch p.color {
	case "auto", "always", "never":
	default:
		return exit.Usagef("--color %q: want auto, always or never", p.color)
	}
	return nil
}

// fromEnvironment sets every flag that was not given from its variable, such as RELAY_LOG_LEVEL for --log-level.
func (p *State) fromEnvironment(flags *pflag.FlagSet) error {
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

// logger writes to stderr, as the flags say.
func (p *State) logger() zerolog.Logger {
	noColor, _ := p.Getenv("NO_COLOR")
	return telemetry.NewLogger(p.Err, telemetry.LogOptions{Level: p.logLevel, Format: p.logFormat, Color: p.color, NoColor: noColor != ""})
}

// findConfig returns the path of the configuration, or says how to come by one.
func (p *State) findConfig() (string, error) {
	path, err := config.Find(p.configPath, p.Getenv)
	if err == nil && path == "" {
		err = errors.New("no configuration: there is no relay.yaml here or in the user's config folder; " +
			"write one with relay init, name one with --config, or try relay --simulate --sink stdout")
	}
	return path, exit.With(exit.Config, err)
}

// loadConfig finds, reads and checks the configuration, and logs its warnings.
func (p *State) loadConfig(log zerolog.Logger) (*config.Config, error) {
	return p.loadConfigBy(config.Load, log)
}

// loadConfigBy does so with [config.Load] or [config.Check].
func (p *State) loadConfigBy(load func(string, func(string) (string, bool)) (*config.Config, error), log zerolog.Logger) (*config.Config, error) {
	path, err := p.findConfig()
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

// dataPath is the data folder: the flag's, else the user's own. It is refused if others could put files into it.
func (p *State) dataPath() (string, error) {
	dir, err := datadir.Choose(p.dataDir, p.Getenv)
	if err == nil {
		err = exit.With(exit.Unavailable, datadir.Check(dir))
	}
	return dir, err
}

// identity says what tokens are sealed with.
func (p *State) identity() auth.IdentityOptions {
	return grants.IdentityOptions(p.Getenv, p.simulation)
}

// access is the way to the journal.
func (p *State) access() (*datadir.Access, error) {
	dir, err := p.dataPath()
	return &datadir.Access{Dir: dir, ConfigPath: p.configPath, Getenv: p.Getenv, Log: p.logger()}, err
}

// withJournal calls use with the journal, whether or not a relay runs on the data folder.
func (p *State) withJournal(ctx context.Context, use func(*journal.Journal) error) error {
	a, err := p.access()
	if err != nil {
		return err
	}
	return a.Use(ctx, use)
}

// withLiveJournal calls use with the journal of the relay that runs on the data folder, or that on the server of journal.nats_url.
func (p *State) withLiveJournal(ctx context.Context, use func(*journal.Journal) error) error {
	a, err := p.access()
	if err != nil {
		return err
	}
	return a.UseLive(ctx, use)
}

func (p *State) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.Err, format+"\n", args...)
	return err
}

// print writes lines of data to stdout.
func (p *State) print(lines ...string) error {
	_, err := fmt.Fprintln(p.Out, strings.Join(lines, "\n"))
	return err
}

// relayRuns reports whether a relay runs on the data folder.
func (p *State) relayRuns(ctx context.Context) bool {
	dir, err := p.dataPath()
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
