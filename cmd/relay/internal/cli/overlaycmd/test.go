package overlaycmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web/overlay"
)

// testOptions are the options of relay overlay test.
type testOptions struct {
	*state.State
	name                   []string // as given; empty for the only one
	sender, title, message string
}

func newTestCmd(s *state.State) *cobra.Command {
	o := testOptions{State: s}
	cmd := &cobra.Command{
		Use: "test [NAME]", Short: "Show a test alert on an overlay", Args: optionalName,
		Long: `Show a test alert on an overlay, and nowhere else. It does not go through the
journal; "relay trigger" tests the whole path, with every sink. The name of the
overlay can be left out if there is only one.`,
		Example: "  relay overlay test\n  relay overlay test main --sender Somebody --title Pizza --message 'enjoy!'",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.sender, "sender", "relay", "sender of the treat; empty for none")
	flags.StringVar(&o.title, "title", "Pizza", "title of the treat")
	flags.StringVar(&o.message, "message", "Only a test.", "message of the treat")
	return cmd
}

func (o *testOptions) run(ctx context.Context) error {
	if strings.TrimSpace(o.sender+o.title+o.message) == "" {
		return exit.Usagef("relay overlay test wants at least one of --sender, --title and --message")
	}
	var shown api.Overlay
	err := o.WithRelay(ctx, func(c *api.Client) error {
		name, err := choose(ctx, c, o.name)
		if err == nil {
			shown, err = c.TestOverlay(ctx, name, overlay.Text{Sender: o.sender, Title: o.title, Message: o.message})
		}
		return err
	})
	if err != nil {
		return err
	}
	return sayAsked(o.State, &shown)
}
