package authcmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newRefreshCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "refresh [ACCOUNT]", Short: "Renew an account's token now", Args: state.OptionalAccount,
		Long: `Renew an account's token now. relay renews tokens automatically, so you need
this only to find out whether the provider still accepts the login.`,
		Example: "  relay auth refresh mystream",
		RunE:    func(cmd *cobra.Command, args []string) error { return runRefresh(cmd.Context(), s, args) },
	}
}

func runRefresh(ctx context.Context, s *state.State, args []string) error {
	account, c, err := openAccount(ctx, s, args)
	if err != nil {
		return err
	}
	token, err := account.Refresh(ctx, 0)
	if err != nil {
		return err
	}
	return s.Say("Renewed the token of %s; it is valid until %s.", c.Account, token.Expiry.Local().Format(time.DateTime))
}
