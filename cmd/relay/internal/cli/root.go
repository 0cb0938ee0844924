// Package cli has the commands of relay, a file each.
package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/authcmd"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/journalcmd"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// Command is the command relay, with all that are below it.
func Command(s state.Streams) *cobra.Command { return rootCommand(&state.State{Streams: s}) }

// Execute runs the command line and returns the exit code.
func Execute(ctx context.Context, args []string, s state.Streams) int {
	if f, ok := s.Out.(*os.File); ok && terminal.Is(f) {
		s.Out = terminal.NewScreen(f)
	}
	p := &state.State{Streams: s}
	root := rootCommand(p) //nolint:contextcheck // the commands take theirs from cobra
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, exit.ErrSilent) {
		_, _ = io.WriteString(s.Err, exit.Text(err, p.Flags()))
	}
	return exit.Code(err)
}

func rootCommand(p *state.State) *cobra.Command {
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
		Args: state.NoUnknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRelay(cmd.Context(), p, &run, cmd.Flags()) },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(p.FromEnvironment(cmd.Flags()), p.CheckFlags())
			telemetry.RedirectStandardLog(p.Logger())
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
	flags.StringVar(&p.ConfigPath, "config", "", "configuration file (default ./relay.yaml, then the user's config folder)")
	flags.StringVar(&p.DataDir, "data-dir", "", "folder of the journal and the tokens (default "+datadir.UsualPath()+")")
	flags.StringVar(&p.LogLevel, "log-level", "info", "trace, debug, info, warn or error")
	flags.StringVar(&p.LogFormat, "log-format", "auto", "auto, console or json; auto is console on a terminal")
	flags.StringVar(&p.Color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	run.register(root.Flags())

	runCmd := &cobra.Command{
		Use: "run", Short: "Receive treats and deliver them (the main job)", Args: state.NoArgs,
		Example: "  relay run\n  relay run --sink overlay --log-format json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runRelay(cmd.Context(), p, &run, cmd.Flags()) },
	}
	run.register(runCmd.Flags())
	root.AddCommand(packagingCommands()...)
	root.AddCommand(runCmd, initCommand(p), authcmd.NewAuthCmd(p), simulateCommand(p), configCommand(p), doctorCommand(p), relayStatusCommand(p),
		journalcmd.NewTailCmd(p), sinksCommand(p), journalcmd.NewDeadLettersCmd(p), journalcmd.NewTraceCmd(p), journalcmd.NewHistoryCmd(p), journalcmd.NewReplayCmd(p), journalcmd.NewExportCmd(p),
		journalcmd.NewTriggerCmd(p), reconcileCommand(p), journalcmd.NewJournalCmd(p), authcmd.NewSecretsCmd(p), versionCommand(p))
	return root
}
