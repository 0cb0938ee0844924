package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// sinksDisableOptions are the options of relay sinks disable.
type sinksDisableOptions struct {
	*state.State
	sink   string
	reason string
}

func newSinksDisableCmd(s *state.State) *cobra.Command {
	o := sinksDisableOptions{State: s}
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Stop sending to a sink; its events wait in the journal", Args: state.OneSink,
		Long: `Stop sending to a sink, for example while its destination is being moved. Its
events wait in the journal until "relay sinks enable", at most as long as the
journal keeps them.`,
		Example: "  relay sinks disable bot --reason \"moving house\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.sink = args[0]
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&o.reason, "reason", "disabled by the operator", "reason to show in the sink's status")
	return cmd
}

func (o *sinksDisableOptions) run(ctx context.Context) error {
	var change api.SinkChange
	err := o.WithAPI(ctx, func(c *api.Client) (err error) {
		change, err = c.DisableSink(ctx, o.sink, o.reason)
		return err
	})
	switch {
	case err != nil:
		return err
	case !change.Changed:
		return o.Say("Sink %s is already disabled.", o.sink)
	}
	return o.Say("Disabled sink %s. To enable it again, run: %s", o.sink, o.Command("sinks", "enable", o.sink))
}
