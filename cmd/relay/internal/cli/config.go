package cli

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newConfigCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check and show the configuration", Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
		Long: `Check and show the configuration, relay.yaml. docs/config.md describes every
key; "relay init" writes a first one.`,
	}
	cmd.AddCommand(newConfigCheckCmd(s), newConfigShowCmd(s), newConfigSchemaCmd(s))
	return cmd
}
