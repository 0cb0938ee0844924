package overlaycmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// newOptions are the options of relay overlay new.
type newOptions struct {
	*state.State
	name, account string
}

func newNewCmd(s *state.State) *cobra.Command {
	o := newOptions{State: s}
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Print the address of an overlay, with a new key", Args: oneName,
		Long: `Print the address of an overlay, with a new key in it. Add it to OBS as a browser
source. The overlay is created if it does not exist; relay.yaml can give it
settings under overlays.NAME.

The key reads events and this overlay, and nothing else. relay keeps only its
hash, so the address is shown once. An overlay can have several keys.`,
		Example: "  relay overlay new main\n  relay overlay new main --account mystream",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return o.run(cmd.Context())
		},
	}
	registerAccount(cmd, &o.account)
	return cmd
}

func registerAccount(cmd *cobra.Command, account *string) {
	cmd.Flags().StringVar(account, "account", "", "the only account whose events the key opens; the overlay must be limited to it too")
}

func (o *newOptions) run(ctx context.Context) error {
	var key api.NewKey
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		key, err = c.NewOverlayKey(ctx, o.name, api.KeyRequest{Account: o.account})
		return err
	})
	if err != nil {
		return err
	}
	if err := o.Print(key.URL); err != nil {
		return err
	}
	if key.Warning != "" {
		if err := o.Say("Warning: %s.", key.Warning); err != nil {
			return err
		}
	}
	if err := o.Say("Add this address to OBS as a browser source. It is shown only now. To make it useless, run: %s",
		o.Command("overlay", "revoke", o.name, key.ID)); err != nil {
		return err
	}
	return sayUnserved(ctx, o.State)
}

// sayUnserved says that no relay runs that would serve the page, if that is so.
func sayUnserved(ctx context.Context, s *state.State) error {
	if s.RelayRuns(ctx) {
		return nil
	}
	return s.Say("No relay runs on this data folder. The page works once you start it: %s", s.Command())
}
