package overlaycmd

import (
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

func newStopCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Take all alerts of all overlays off the screen", Args: state.NoArgs,
		Long: `Take all alerts of all overlays off the screen at once, for example in a bot
raid. Nothing is shown until "relay overlay start", even across a restart of
relay. Treats are still journaled and delivered to the sinks.`,
		Example: "  relay overlay stop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.WithRelay(cmd.Context(), func(c *api.Client) error { return c.StopOverlays(cmd.Context()) }); err != nil {
				return err
			}
			return s.Say("All overlays are stopped. To show alerts again, run: %s", s.Command("overlay", "start"))
		},
	}
}

func newStartCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Show alerts again after a stop", Args: state.NoArgs,
		Long: `Show alerts again after "relay overlay stop". Treats that arrived meanwhile are
shown too, unless they are older than max_age; "relay overlay clear" drops them.`,
		Example: "  relay overlay start",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.WithRelay(cmd.Context(), func(c *api.Client) error { return c.StartOverlays(cmd.Context()) }); err != nil {
				return err
			}
			return s.Say("All overlays show alerts.")
		},
	}
}
