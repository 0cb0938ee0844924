package journalcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// historyOptions are the options of relay history, and how many events it has printed.
type historyOptions struct {
	*state.State
	eventFlags
	text    string
	limit   int
	newest  int
	json    bool
	printed int
}

// NewHistoryCmd returns relay history.
func NewHistoryCmd(s *state.State) *cobra.Command {
	o := historyOptions{State: s}
	cmd := &cobra.Command{
		Use: "history", Short: "Show the events in the journal", Args: state.NoArgs,
		Long: `Show the events in the journal, in the order in which they were journaled.
--since and --until refer to the time when a treat was sent. It works whether or
not relay runs.`,
		Example: "  relay history --since 2h\n  relay history --text pizza --newest 20\n  relay history --since 2026-07-16 --json | jq -r .data.title | sort | uniq -c",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	o.register(flags, "live, backfill, test, or replay for events that were sent again")
	flags.StringVar(&o.text, "text", "", "only treats whose sender, title or message contains this text, in upper or lower case")
	registerLimit(flags, &o.limit)
	flags.IntVar(&o.newest, "newest", 0, "only the newest of this number, oldest first; 0 for all")
	flags.BoolVar(&o.json, "json", false, "print the events themselves, one per line")
	return cmd
}

func (o *historyOptions) run(ctx context.Context) error {
	filter, err := o.filter(time.Now(), allOrigins()...)
	if err != nil {
		return err
	}
	if err := checkLimit(o.limit); err != nil {
		return err
	}
	switch {
	case o.newest < 0:
		return exit.Usagef("--newest %d: want 0 or more", o.newest)
	case o.newest > 0 && o.limit > 0:
		return exit.Usagef("want either --limit or --newest")
	}
	filter.Text = o.text
	err = o.WithAPI(ctx, func(c *api.Client) error {
		return forEachEvent(ctx, c, &api.EventQuery{EventFilter: filter, Limit: o.limit, Newest: o.newest}, o.print)
	})
	if err == nil && o.printed == 0 {
		return o.Say("Nothing matched: there is no such event.")
	}
	return state.IgnoreClosedPipe(err)
}

// print prints an event as it arrives: the columns have fixed widths, so that any number of events takes little memory.
func (o *historyOptions) print(e *api.Event) error {
	o.printed++
	if o.json {
		_, err := fmt.Fprintf(o.Out, "%s\n", e.Event)
		return err
	}
	const format = "%-19s  %-8s  %-12s  %-18s  %-24s  %-30s  %s\n"
	if o.printed == 1 {
		if _, err := fmt.Fprintf(o.Out, format, "TIME", "ORIGIN", "ACCOUNT", "SENDER", "TITLE", "EVENT", "MESSAGE"); err != nil {
			return err
		}
	}
	event, err := e.Record().Event()
	if err != nil {
		return err
	}
	d := &event.Data
	_, err = fmt.Fprintf(o.Out, format, e.Time.Local().Format(time.DateTime), e.Origin, e.Account,
		text.Cell(d.Sender, 18), text.Cell(d.Title, 24), e.ID, text.Cell(d.Message, 60))
	return err
}
