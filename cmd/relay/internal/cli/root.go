// Package cli has the commands of relay: a file per command, with an options struct and a run function. The commands about logins are in
// authcmd, those about the journal in journalcmd, those about overlays in overlaycmd, and what all commands share in state.
package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/authcmd"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/journalcmd"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/overlaycmd"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// Command returns the relay command with all its subcommands.
func Command(streams state.Streams) *cobra.Command {
	return newRootCmd(&state.State{Streams: streams})
}

// Execute runs a command line, without the name of the program, and returns the exit code. It prints the error, one line each, to
// standard error.
func Execute(ctx context.Context, args []string, streams state.Streams) int {
	if f, ok := streams.Out.(*os.File); ok && terminal.Is(f) {
		streams.Out = terminal.NewScreen(f)
	}
	s := &state.State{Streams: streams}
	root := newRootCmd(s) //nolint:contextcheck // the commands receive their context from cobra
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, exit.ErrSilent) {
		_, _ = io.WriteString(s.Err, exit.Text(err, s.Flags()))
	}
	return exit.Code(err)
}

func newRootCmd(s *state.State) *cobra.Command {
	o := runOptions{State: s}
	root := &cobra.Command{
		Use:   "relay",
		Short: "Deliver treats from TreatStream to overlays, bots and pipes",
		Long: `relay receives the treats that viewers send on TreatStream, writes each to a
durable journal, and delivers it to every sink: NATS for overlays, signed
webhooks for bots, Discord and Slack, standard output for pipes.

Without a command it runs the relay, like "relay run".`,
		Example: `  relay --simulate --sink stdout          # try it: needs no account and no configuration
  relay init                              # write a relay.yaml
  relay auth login mystream               # log in to the account "mystream" of relay.yaml
  relay                                   # run every sink of relay.yaml
  relay --sink stdout | jq .data.title    # print only`,
		SilenceErrors: true, SilenceUsage: true,
		Args:    state.NoUnknownCommand,
		Version: versionLine(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.Flags().Changed) },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(s.FromEnvironment(cmd.Flags()), s.CheckFlags())
			telemetry.RedirectStandardLog(s.Logger())
			return err
		},
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&s.ConfigPath, "config", "", "configuration file (default ./relay.yaml, then the user's config folder)")
	flags.StringVar(&s.DataDir, "data-dir", "", "folder of the journal and the tokens (default "+datadir.DescribeDefaultPath()+")")
	flags.StringVar(&s.LogLevel, "log-level", "info", "trace, debug, info, warn or error")
	flags.StringVar(&s.LogFormat, "log-format", "auto", "auto, console or json; auto is console on a terminal")
	flags.StringVar(&s.Color, "color", "auto", "auto, always or never; auto respects NO_COLOR")
	root.Flags().Bool("version", false, "print the version, like relay version")
	state.WithoutVariable(root.Flags(), "version")
	o.register(root.Flags())

	root.AddCommand(newRunCmd(s), newInitCmd(s), authcmd.NewAuthCmd(s), newSimulateCmd(s), newConfigCmd(s), newDoctorCmd(s), newStatusCmd(s),
		journalcmd.NewTailCmd(s), newSinksCmd(s), journalcmd.NewDeadLettersCmd(s), journalcmd.NewTraceCmd(s), journalcmd.NewHistoryCmd(s),
		journalcmd.NewReplayCmd(s), journalcmd.NewExportCmd(s), journalcmd.NewTriggerCmd(s), newReconcileCmd(s), journalcmd.NewJournalCmd(s),
		authcmd.NewSecretsCmd(s), overlaycmd.NewOverlayCmd(s), newDashboardCmd(s), newVersionCmd(s))
	root.AddCommand(packagingCommands()...)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = state.NoUnknownCommand, state.RequireSubcommand
		for _, shell := range completion.Commands() {
			shell.Args = state.NoArgs
			state.WithoutVariable(shell.Flags(), "no-descriptions")
		}
	}
	return root
}
