package authcmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// loginOptions are the options of relay auth login.
type loginOptions struct {
	*state.State
	account            []string // as given; empty for the only one
	noBrowser          bool
	acceptMissingState bool
	timeout            time.Duration
}

func newLoginCmd(s *state.State) *cobra.Command {
	o := loginOptions{State: s}
	cmd := &cobra.Command{
		Use: "login [ACCOUNT]", Short: "Log in to an account in the browser", Args: state.OptionalAccount,
		Long: `Log in to an account of the configuration. You need this once for each account,
and again if the provider ends the login. relay prints the address to open,
opens it in the browser if there is one, and waits for the browser to return to
the account's redirect_url.

On a machine without a browser, open the address on another one. The browser
then ends on a page that it cannot display: paste the address of that page here.

The provider returns the state parameter of the request, which proves that the
response belongs to this login. For a provider that does not return it, and only
then, give --accept-missing-state and paste the address: relay then trusts that
the address is from this login.`,
		Example: "  relay auth login mystream\n  relay auth login mystream --no-browser",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.noBrowser, "no-browser", false, "do not open a browser")
	flags.BoolVar(&o.acceptMissingState, "accept-missing-state", false, "accept a pasted address without a state parameter, for a provider that returns none")
	state.WithoutVariable(flags, "accept-missing-state")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for the login")
	return cmd
}

func (o *loginOptions) run(ctx context.Context) error {
	account, c, err := openAccount(ctx, o.State, o.account)
	if err != nil {
		return err
	}
	opts := auth.LoginOptions{Prompt: o.Err, Paste: o.In, Timeout: o.timeout, AcceptMissingState: o.acceptMissingState}
	if !o.noBrowser {
		opts.Browser = auth.OpenBrowser
	}
	if err := account.Login(ctx, opts); err != nil {
		return err
	}
	status, err := account.Status()
	if err != nil {
		return err
	}
	return o.Say("Logged in to %s at %s. %s", c.Account, c.Provider.Title, lifetime(status, c.Provider.Grant))
}
