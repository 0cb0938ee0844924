package overlaycmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// control is one of [api.OverlayActions] as a command.
type control struct {
	action, short, long string
	done                string // what the command says, with the overlay's name for %s
	undo                string // the command that ends it; empty: there is none
}

// controls are the commands for [api.OverlayActions].
func controls() []control {
	return []control{
		{
			"pause", "Keep the alerts of an overlay waiting",
			"Keep the alerts of an overlay waiting, until \"relay overlay resume\". An alert that is on screen stays for its time.",
			"Overlay %s is paused. Its alerts wait.", "resume",
		},
		{"resume", "Show alerts again after a pause", "Show the alerts of an overlay again after \"relay overlay pause\".", "Overlay %s shows alerts.", ""},
		{
			"skip", "Take the alert off the screen",
			"Take the alert that an overlay shows off the screen. If it shows none, drop the next one that waits. Its treats leave the ticker, too.",
			"Overlay %s shows no alert, and none waits.", "",
		},
		{
			"clear", "Drop all alerts that wait, and empty the ticker",
			"Drop all alerts of an overlay that wait, and empty its ticker. The treats stay in the journal, and other sinks are not affected.",
			"Overlay %s has no alerts that wait.", "",
		},
		{"mute", "Silence sound and speech", "Silence sound and speech of an overlay, until \"relay overlay unmute\".", "Overlay %s is silent.", "unmute"},
		{"unmute", "Play sound and speech again", "Play sound and speech again after \"relay overlay mute\".", "Overlay %s has sound.", ""},
		{
			"reset-counter", "Begin the counter of this stream at 0",
			"Begin the counter with goal.period: stream at 0, for example when the stream starts.",
			"The counter of overlay %s begins at 0.", "",
		},
	}
}

// controlOptions are the options of a command for one of [api.OverlayActions].
type controlOptions struct {
	*state.State
	control
	name []string // as given; empty for the only one
}

func newControlCmd(s *state.State, c control) *cobra.Command {
	o := controlOptions{State: s, control: c}
	path := "relay overlay " + c.action
	return &cobra.Command{
		Use: c.action + " [NAME]", Short: c.short, Args: optionalName,
		Long:    c.long + " The name can be left out if there is only one overlay.",
		Example: "  " + path + "\n  " + path + " main",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args
			return o.run(cmd.Context())
		},
	}
}

func (o *controlOptions) run(ctx context.Context) error {
	var name string
	var now api.Overlay
	err := o.WithRelay(ctx, func(c *api.Client) (err error) {
		if name, err = choose(ctx, c, o.name); err == nil {
			now, err = c.ControlOverlay(ctx, name, o.action)
		}
		return err
	})
	if err != nil {
		return err
	}
	if now.Skipped != nil {
		return o.Say("Overlay %s has skipped %s.", name, describe(now.Skipped))
	}
	if o.undo == "" {
		return o.Say(o.done, name)
	}
	return o.Say(o.done+" To undo this, run: %s", name, o.Command("overlay", o.undo, name))
}
