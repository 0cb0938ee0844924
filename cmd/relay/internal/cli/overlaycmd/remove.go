package overlaycmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// removeOptions are the options of relay overlay remove.
type removeOptions struct {
	*state.State
	name string
}

func newRemoveCmd(s *state.State) *cobra.Command {
	o := removeOptions{State: s}
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove an overlay that is not in relay.yaml", Args: oneName,
		Long: `Remove an overlay that is not in relay.yaml, or no longer: its keys, its counters
and the alerts that wait for it. Its pages close, and their addresses never work
again. The treats stay in the journal, and the files in the overlay's folder.`,
		Example: "  relay overlay remove old",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return o.run(cmd.Context())
		},
	}
}

func (o *removeOptions) run(ctx context.Context) error {
	if err := o.WithRelay(ctx, func(c *api.Client) error { return c.RemoveOverlay(ctx, o.name) }); err != nil {
		return err
	}
	return o.Say("Removed overlay %s.", o.name)
}
