package overlaycmd

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// againOptions are the options of relay overlay again.
type againOptions struct {
	*state.State
	name  []string // as given; empty for the only one
	event string
}

func newAgainCmd(s *state.State) *cobra.Command {
	o := againOptions{State: s}
	return &cobra.Command{
		Use: "again [NAME] EVENT", Short: "Show a treat on an overlay again",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 || args[len(args)-1] == "" {
				return exit.Usagef("%s takes the overlay's name, and the ID of an event or its number in the journal; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		Long: `Show a treat on an overlay again, before all that wait. Name the event by its ID,
which "relay history" shows, or by its number in the journal. The name of the
overlay can be left out if there is only one.`,
		Example: "  relay overlay again main 128\n  relay overlay again main trt_01jd2m5w8k0000000000000000",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.event = args[:len(args)-1], args[len(args)-1]
			return o.run(cmd.Context())
		},
	}
}

func (o *againOptions) run(ctx context.Context) error {
	order := api.ShowAgainRequest{ID: o.event}
	if number, err := strconv.ParseUint(o.event, 10, 64); err == nil {
		if number == 0 {
			return exit.Usagef("the journal has no number 0: the first event has number 1")
		}
		order = api.ShowAgainRequest{Number: number}
	}
	var shown api.Overlay
	err := o.WithRelay(ctx, func(c *api.Client) error {
		name, err := choose(ctx, c, o.name)
		if err == nil {
			shown, err = c.ShowAgain(ctx, name, order)
		}
		return err
	})
	if err != nil {
		return err
	}
	return sayAsked(o.State, &shown)
}

// sayAsked says when an overlay shows the alert that was asked for.
func sayAsked(s *state.State, v *api.Overlay) error {
	switch {
	case v.Stopped:
		return s.Say("All overlays are stopped. It is shown after: %s", s.Command("overlay", "start"))
	case v.Paused:
		return s.Say("Overlay %s is paused. It is shown after: %s", v.Name, s.Command("overlay", "resume", v.Name))
	case pages(v) == 0:
		return s.Say("No page of overlay %s is open. It is shown once one is.", v.Name)
	}
	return s.Say("Overlay %s shows it next.", v.Name)
}
