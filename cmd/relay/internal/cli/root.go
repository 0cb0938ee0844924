// Package cli has the commands of relay, a file each.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
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

// Command is the command relay, with all that are below it.
func Command(s Streams) *cobra.Command { return (&State{Streams: s}).rootCommand() }

// Execute runs the command line and returns the exit code.
func Execute(ctx context.Context, args []string, s Streams) int {
	if f, ok := s.Out.(*os.File); ok && terminal.Is(f) {
		s.Out = terminal.NewScreen(f)
	}
	p := &State{Streams: s}
	root := p.rootCommand() //nolint:contextcheck // the commands take theirs from cobra
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, exit.ErrSilent) {
		_, _ = io.WriteString(s.Err, p.advise(exit.Text(err)))
	}
	return exit.Code(err)
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

func (p *State) rootCommand() *cobra.Command {
	var run runFlags
	root := &cobra.Command{
		Use:   "relay",
		Short: "Carry treats from TreatStream to overlays, bots and pipes",
		Long: `relay receives the treats that viewers send on TreatStream, keeps each in a durable journal, and delivers
it to every sink: NATS for overlays, signed webhooks for bots, standard output for pipes.

Without a command it does its main job, like "relay run".`,
		Example: `  relay --simulate --sink stdout          # try it: no account and no configuration needed
  relay init                              # write a relay.yaml
  relay auth login mystream               # log in to the account "mystream" of relay.yaml
  relay                                   # run every sink of relay.yaml
  relay --sink stdout | jq .data.title    # only print`,
		SilenceErrors: true, SilenceUsage: true,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context(), &run, cmd.Flags()) },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(p.fromEnvironment(cmd.Flags()), p.checkFlags())
			telemetry.RedirectStandardLog(p.logger())
			return err
		},
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&p.configPath, "config", "", "configuration file (default ./relay.yaml, then the user's config folder)")
	flags.StringVar(&p.dataDir, "data-dir", "", "folder of the journal and the tokens (default "+datadir.UsualPath()+")")
	flags.StringVar(&p.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	flags.StringVar(&p.logFormat, "log-format", "auto", "auto, console or json; auto is console on a terminal")
	flags.StringVar(&p.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	run.register(root.Flags())

	runCmd := &cobra.Command{
		Use: "run", Short: "Receive treats and deliver them (the main job)", Args: noArgs,
		Example: "  relay run\n  relay run --sink overlay --log-format json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context(), &run, cmd.Flags()) },
	}
	run.register(runCmd.Flags())
	root.AddCommand(packagingCommands()...)
	root.AddCommand(runCmd, p.initCommand(), p.authCommand(), p.simulateCommand(), p.configCommand(), p.doctorCommand(), p.relayStatusCommand(),
		p.tailCommand(), p.sinksCommand(), p.deadLettersCommand(), p.traceCommand(), p.historyCommand(), p.replayCommand(), p.exportEventsCommand(),
		p.triggerCommand(), p.reconcileCommand(), p.journalCommand(), p.secretsCommand(), p.versionCommand())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usagef("%s takes no argument, got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// unknownCommand refuses arguments of a command that has only subcommands, and names the nearest of these.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
	}
	return exit.Usagef("no command %q; %s", args[0], hint)
}

// needCommand is what a command that has only subcommands does.
func needCommand(cmd *cobra.Command, args []string) error {
	if err := unknownCommand(cmd, args); err != nil {
		return err
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return exit.Usagef("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// What flags are annotated with.
const (
	commandLineOnly = "relay_command_line_only" // it has no environment variable
	fromVariable    = "relay_from_variable"     // it was set by its variable
)

// onlyOnCommandLine takes their environment variables from flags that destroy something or do without a check: a variable that was set
// for another command must not do that.
func onlyOnCommandLine(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags.Lookup(name), commandLineOnly)
	}
}

func annotate(f *pflag.Flag, with string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[with] = []string{}
}

func annotated(f *pflag.Flag, with string) bool {
	_, ok := f.Annotations[with]
	return ok
}

// onCommandLine reports whether one of these flags was given, and not only its variable.
func onCommandLine(flags *pflag.FlagSet, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		f := flags.Lookup(name)
		return f.Changed && !annotated(f, fromVariable)
	})
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
