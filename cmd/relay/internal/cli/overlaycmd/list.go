package overlaycmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/web/overlay"
)

// listOptions are the options of relay overlay list.
type listOptions struct {
	*state.State
	json bool
}

func newListCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Show the state of each overlay, and its keys", Args: state.NoArgs,
		Long: `Show the state of each overlay: how many pages are open, what they show, how
many alerts wait, and the IDs of the keys that open it. "relay overlay" does the
same. Without a running relay no page is open.`,
		Example: "  relay overlay list\n  relay overlay list --json | jq -r 'select(.pages == []) | .name'",
	}
	completeListCmd(s, cmd)
	return cmd
}

// completeListCmd adds the flags and the run function to a command that lists the overlays.
func completeListCmd(s *state.State, cmd *cobra.Command) {
	o := listOptions{State: s}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return state.IgnoreClosedPipe(o.run(cmd.Context())) }
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per line")
}

func (o *listOptions) run(ctx context.Context) error {
	var list api.OverlayList
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		list, err = c.Overlays(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case !o.json:
		return o.printTable(list)
	}
	for i := range list.Overlays {
		if err := o.PrintJSON(&list.Overlays[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *listOptions) printTable(list api.OverlayList) error {
	if len(list.Overlays) == 0 {
		return o.Say("There is no overlay yet. To make one, run: %s", o.Command("overlay", "new", "main"))
	}
	table := state.NewTable(o.Out)
	table.Row("OVERLAY", "STATE", "PAGES", "SHOWING", "WAITING", "LAST SHOWN", "KEYS")
	now := time.Now()
	for i := range list.Overlays {
		v := &list.Overlays[i]
		showing, last := "-", "-"
		if v.Showing != nil {
			showing = describe(v.Showing)
		}
		if v.LastShown != nil {
			last = text.Ago(now, v.LastShown.Time) + ": " + describe(&v.LastShown.Alert)
		}
		table.Row(v.Name, switches(v.Switches), fmt.Sprint(pages(v)), showing, waiting(v), last, keys(v.Keys))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range list.Overlays {
		if v := &list.Overlays[i]; v.SkippedOld > 0 {
			if err := o.Say("Overlay %s did not show %d treats, which were older than its max_age.", v.Name, v.SkippedOld); err != nil {
				return err
			}
		}
	}
	return nil
}

// waiting returns how many alerts wait.
func waiting(v *api.Overlay) string {
	if v.More {
		return fmt.Sprintf("over %d", v.Waiting)
	}
	return fmt.Sprint(v.Waiting)
}

// describe returns an alert in a few words.
func describe(a *overlay.Alert) string {
	sender := a.Sender
	if a.Anonymous {
		sender = "anonymous"
	}
	words := text.Cell(&a.Title, 30)
	if sender != "" {
		words += " from " + text.Cell(&sender, 20)
	}
	if a.More > 0 {
		words += fmt.Sprintf(" and %d more", a.More)
	}
	return words
}

// switches returns what is switched on an overlay in words.
func switches(s overlay.Switches) string {
	var words []string
	if s.Stopped {
		words = append(words, "stopped")
	}
	if s.Paused {
		words = append(words, "paused")
	}
	if s.Muted {
		words = append(words, "muted")
	}
	if len(words) == 0 {
		return "on"
	}
	return strings.Join(words, ", ")
}

// pages returns the number of open pages, without previews.
func pages(v *api.Overlay) int {
	n := 0
	for _, p := range v.Pages {
		if !p.Preview {
			n++
		}
	}
	return n
}

// keys lists the IDs of keys, each with the account that it is limited to.
func keys(all []api.OverlayKey) string {
	if len(all) == 0 {
		return "-"
	}
	words := make([]string, len(all))
	for i, k := range all {
		words[i] = k.ID
		if k.Account != "" {
			words[i] += " (" + k.Account + ")"
		}
	}
	return strings.Join(words, ", ")
}
