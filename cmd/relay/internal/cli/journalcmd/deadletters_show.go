package journalcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// deadLettersShowOptions are the options of relay deadletters show.
type deadLettersShowOptions struct {
	*state.State
	id   string // a number, or the ID of an event
	json bool
}

func newDeadLettersShowCmd(s *state.State) *cobra.Command {
	o := deadLettersShowOptions{State: s}
	cmd := &cobra.Command{
		Use: "show NUMBER|ID", Short: "Show a dead letter with its event", Args: state.OneArg("the number of a dead letter or the id of its event"),
		Long: `Show a dead letter with its event: why the sink refused it, after how many
attempts, and the event itself. NUMBER is the one that "relay deadletters list"
prints. With the ID of an event, it shows the dead letters of every sink that
refused the event.`,
		Example: "  relay deadletters show 1042",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return state.IgnoreClosedPipe(o.run(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

func (o *deadLettersShowOptions) run(ctx context.Context) error {
	q, err := (&letterFlags{ids: []string{o.id}}).query(time.Now())
	if err != nil {
		return err
	}
	n, err := forEachDeadLetter(ctx, o.State, q, func(c *api.Client, d journal.DeadLetter) error { return o.show(ctx, c, d.Number) })
	if err == nil && n == 0 {
		err = &advice.Error{
			Err: fmt.Errorf("no dead letter %s", o.id),
			Fix: advice.Fix{Command: "relay deadletters list", After: " shows those that exist"},
		}
	}
	return err
}

func (o *deadLettersShowOptions) show(ctx context.Context, c *api.Client, number uint64) error {
	d, err := c.DeadLetter(ctx, number)
	if err != nil {
		return err
	}
	if o.json {
		return o.PrintJSON(d)
	}
	event := string(d.Event)
	if event == "" {
		event = journal.ErrEventGone.Error()
	}
	return o.Print(
		fmt.Sprintf("number    %d", d.Number),
		fmt.Sprintf("sink      %s", d.Sink),
		fmt.Sprintf("refused   %s, attempts: %d", d.Time.Local().Format(time.DateTime), d.Attempts),
		fmt.Sprintf("reason    %s", text.Printable(d.Reason)),
		fmt.Sprintf("event     %s, %d in the journal", d.ID, d.Seq),
		fmt.Sprintf("account   %s (%s, %s)", d.Account, d.Provider, d.Origin),
		event,
	)
}
