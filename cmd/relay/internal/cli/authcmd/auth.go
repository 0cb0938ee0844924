// Package authcmd has the commands about logins and keys: relay auth and relay secrets.
package authcmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// NewAuthCmd returns relay auth, with its subcommands.
func NewAuthCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth", Short: "Log in to accounts and manage their tokens",
		Long: `Log in to the accounts of the configuration, and manage their tokens. An account
needs one login, after which relay renews its token automatically. Where only
one account is configured, ACCOUNT can be omitted.`,
		Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
	}
	cmd.AddCommand(newLoginCmd(s), newLogoutCmd(s), newStatusCmd(s), newTokenCmd(s), newRefreshCmd(s), newImportCmd(s), newExportCmd(s), newIdentityCmd(s))
	return cmd
}
