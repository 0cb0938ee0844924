package overlaycmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web/overlay"
)

// fileOptions are the options of relay overlay file.
type fileOptions struct {
	*state.State
	name, account, output string
	force                 bool
}

func newFileCmd(s *state.State) *cobra.Command {
	o := fileOptions{State: s}
	cmd := &cobra.Command{
		Use: "file NAME", Short: "Write an overlay as a file, for an OBS that starts before relay", Args: oneName,
		Long: `Write an HTML file that waits for relay and then shows the overlay. OBS loads an
address only once: if relay does not run at that moment, the browser source
stays blank. With this file, added as a browser source with "Local file", relay
may start at any time.

The file has a key of its own, so do not share it.`,
		Example: "  relay overlay file main\n  relay overlay file main --output ~/obs/treats.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return o.run(cmd.Context())
		},
	}
	registerAccount(cmd, &o.account)
	cmd.Flags().StringVar(&o.output, "output", "", "file to write (default overlay-NAME.html)")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace a file that exists")
	state.WithoutVariable(cmd.Flags(), "force")
	return cmd
}

func (o *fileOptions) run(ctx context.Context) error {
	if err := overlay.CheckName(o.name); err != nil {
		return exit.With(exit.Usage, err)
	}
	path := o.output
	if path == "" {
		path = "overlay-" + o.name + ".html"
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !o.force {
		if err == nil {
			err = fmt.Errorf("%s exists: choose another file with --output, or replace it with --force", path)
		}
		return err
	}
	var key api.NewKey
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		if key, err = c.NewOverlayKey(ctx, o.name, api.KeyRequest{Account: o.account}); err != nil {
			return err
		}
		err = exit.With(exit.Unavailable, datadir.WritePrivate(path, overlay.LocalFile(key.URL)))
		if err != nil { // nobody has the key
			err = errors.Join(err, c.RevokeOverlayKey(context.WithoutCancel(ctx), o.name, key.ID))
		}
		return err
	})
	if err != nil {
		return err
	}
	if key.Warning != "" {
		if err := o.Say("Warning: %s.", key.Warning); err != nil {
			return err
		}
	}
	return o.Say("Wrote %s. Add it to OBS as a browser source with \"Local file\". To make it useless, run: %s",
		path, o.Command("overlay", "revoke", o.name, key.ID))
}
