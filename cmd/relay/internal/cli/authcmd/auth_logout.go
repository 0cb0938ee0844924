package authcmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// logoutOptions are the options of relay auth logout.
type logoutOptions struct {
	*state.State
	account []string // as given; empty for the only one
	force   bool
}

func newLogoutCmd(s *state.State) *cobra.Command {
	o := logoutOptions{State: s}
	cmd := &cobra.Command{
		Use: "logout [ACCOUNT]", Short: "Revoke an account's login, if the provider can, and delete its tokens", Args: state.OptionalAccount,
		Long: `Revoke an account's login at the provider, if the provider can, and delete its
tokens from this machine. If the provider cannot be reached, the tokens stay;
--force deletes them without asking the provider. Use --force too after you
moved the login to another machine, where it must remain valid.`,
		Example: "  relay auth logout mystream",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "only delete the tokens from this machine; do not contact the provider")
	state.WithoutVariable(cmd.Flags(), "force")
	return cmd
}

func (o *logoutOptions) run(ctx context.Context) error {
	account, c, err := openAccount(ctx, o.State, o.account)
	if err != nil {
		return err
	}
	logout := account.Logout
	if o.force {
		logout = account.Forget
	}
	if err := logout(ctx); err != nil {
		return err
	}
	return o.Say("Deleted the tokens of %s.", c.Account)
}
