package cli

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newSinksCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sinks", Short: "Show the state of the sinks, and disable or enable them", Args: state.NoUnknownCommand,
		Long: `Show the state of the sinks, and disable or enable them. While a sink is
disabled, its events wait in the journal. These commands work whether or not
relay runs; if it does not, they show the state when it stopped. Without a
subcommand it lists the sinks.`,
		Example: "  relay sinks\n  relay sinks disable bot",
	}
	completeSinksListCmd(s, cmd)
	cmd.AddCommand(newSinksListCmd(s), newSinksEnableCmd(s), newSinksDisableCmd(s))
	return cmd
}
