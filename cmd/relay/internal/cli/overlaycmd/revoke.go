package overlaycmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// revokeOptions are the options of relay overlay revoke.
type revokeOptions struct {
	*state.State
	name, id string
	all      bool
}

func newRevokeCmd(s *state.State) *cobra.Command {
	o := revokeOptions{State: s}
	cmd := &cobra.Command{
		Use: "revoke NAME [KEY-ID]", Short: "Make a key of an overlay useless, and close its pages",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 || slices.Contains(args, "") {
				return exit.Usagef("%s takes the overlay's name and the ID of a key; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		Long: `Make a key of an overlay useless, for example because its address was visible on
stream. Pages that the key opened stop at once. "relay overlay list" shows the
IDs of the keys; --all revokes every key of the overlay.`,
		Example: "  relay overlay revoke main 3f9a1c02\n  relay overlay revoke main --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			if len(args) > 1 {
				o.id = args[1]
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "revoke every key of the overlay")
	state.WithoutVariable(cmd.Flags(), "all")
	return cmd
}

func (o *revokeOptions) run(ctx context.Context) error {
	if o.all == (o.id != "") {
		return exit.Usagef("relay overlay revoke wants either the ID of a key or --all; see relay overlay list")
	}
	ids := []string{o.id}
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		if o.all {
			if ids, err = keyIDs(ctx, c, o.name); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := c.RevokeOverlayKey(ctx, o.name, id); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(ids) == 0:
		return o.Say("Overlay %s has no key.", o.name)
	}
	return o.Say("Revoked %s. For a new address, run: %s", strings.Join(ids, ", "), o.Command("overlay", "new", o.name))
}

// keyIDs returns the IDs of the keys of an overlay.
func keyIDs(ctx context.Context, c *api.Client, name string) (ids []string, err error) {
	list, err := c.Overlays(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list.Overlays {
		if v := &list.Overlays[i]; v.Name == name {
			for _, k := range v.Keys {
				ids = append(ids, k.ID)
			}
			return ids, nil
		}
	}
	return nil, exit.With(exit.Usage, &advice.Error{Err: fmt.Errorf("there is no overlay %q", name), Fix: advice.Run("relay overlay list")})
}
