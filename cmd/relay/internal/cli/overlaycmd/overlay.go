// Package overlaycmd has the commands about overlays: the pages that show treats in OBS, see the package web/overlay.
package overlaycmd

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// NewOverlayCmd returns relay overlay.
func NewOverlayCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "overlay", Short: "Make overlays for OBS, and control what they show", Args: state.NoUnknownCommand,
		Long: `Make overlays for OBS, and control what they show. An overlay is a page that
relay serves: add its address to OBS as a browser source, and it shows each
treat as an alert. docs/overlay.md describes its settings. Without a subcommand
it lists the overlays.`,
		Example: "  relay overlay\n  relay overlay new main\n  relay overlay test main",
	}
	completeListCmd(s, cmd)
	cmd.AddCommand(newListCmd(s), newNewCmd(s), newFileCmd(s), newRevokeCmd(s), newRemoveCmd(s), newTestCmd(s), newAgainCmd(s), newStopCmd(s), newStartCmd(s))
	for _, c := range controls() {
		cmd.AddCommand(newControlCmd(s, c))
	}
	return cmd
}

// oneName validates the arguments of a command that takes the name of an overlay.
func oneName(cmd *cobra.Command, args []string) error {
	return state.OneArg("the overlay's name")(cmd, args)
}

// optionalName validates the arguments of a command that takes the name of an overlay, and needs none if there is only one.
func optionalName(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneName(cmd, args)
}

// choose returns the name in args, or that of the only overlay.
func choose(ctx context.Context, c *api.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	list, err := c.Overlays(ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for i := range list.Overlays {
		names = append(names, list.Overlays[i].Name)
	}
	switch len(names) {
	case 0:
		return "", exit.With(exit.Usage, &advice.Error{Err: errors.New("there is no overlay yet"), Fix: advice.Run("relay overlay new main")})
	case 1:
		return names[0], nil
	}
	return "", exit.Usagef("name one of the overlays: there are [%s]", strings.Join(names, ", "))
}
