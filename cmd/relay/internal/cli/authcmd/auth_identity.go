package authcmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newIdentityCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "identity", Short: "Print this machine's age recipient, to receive an exported login", Args: state.NoArgs,
		Long: `Print the age recipient (age1...) of the identity that encrypts this machine's
tokens. Give it to "relay auth export --recipient" on the machine that has the
login; this machine can then import the export without a passphrase.`,
		Example: "  relay auth identity",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runIdentity(cmd.Context(), s) },
	}
}

func runIdentity(ctx context.Context, s *state.State) error {
	id, err := auth.LoadIdentity(ctx, s.Identity())
	if err != nil {
		return err
	}
	return s.Print(id.Recipient())
}
