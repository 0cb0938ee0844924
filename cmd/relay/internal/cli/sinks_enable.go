package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newSinksEnableCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Resume a disabled sink where it stopped", Args: state.OneSink,
		Long: `Resume a disabled sink: it receives the events that waited for it, in order, and
then new ones. You need it after "relay sinks disable", and after relay disabled
a sink because its destination is gone.`,
		Example: "  relay sinks enable bot",
		RunE:    func(cmd *cobra.Command, args []string) error { return runSinksEnable(cmd.Context(), s, args[0]) },
	}
}

func runSinksEnable(ctx context.Context, s *state.State, sink string) error {
	var change api.SinkChange
	err := s.WithAPI(ctx, func(c *api.Client) (err error) {
		change, err = c.EnableSink(ctx, sink)
		return err
	})
	switch {
	case err != nil:
		return err
	case !change.Changed:
		return s.Say("Sink %s is not disabled.", sink)
	}
	return s.Say("Enabled sink %s; it had been disabled since %s.", sink, change.DisabledSince.Local().Format(time.DateTime))
}
