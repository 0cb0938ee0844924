package authcmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// tokenOptions are the options of relay auth token.
type tokenOptions struct {
	*state.State
	account []string // as given; empty for the only one
	json    bool
}

func newTokenCmd(s *state.State) *cobra.Command {
	o := tokenOptions{State: s}
	cmd := &cobra.Command{
		Use: "token [ACCOUNT]", Short: "Print a valid access token", Args: state.OptionalAccount,
		Long: `Print a valid access token of an account, for scripts that call the provider's
API. relay renews the token first if it has expired or is about to.`,
		Example: "  curl -H \"Authorization: Bearer $(relay auth token mystream)\" https://api.example/",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object with the token and its expiry")
	return cmd
}

func (o *tokenOptions) run(ctx context.Context) error {
	account, _, err := openAccount(ctx, o.State, o.account)
	if err != nil {
		return err
	}
	token, err := account.Token(ctx)
	if err != nil {
		return err
	}
	if o.json {
		return o.PrintJSON(map[string]any{"access_token": token.AccessToken.Reveal(), "expiry": token.Expiry})
	}
	return o.Print(token.AccessToken.Reveal())
}
