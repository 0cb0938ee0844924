package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// eventFlags choose events of the journal.
type eventFlags struct {
	accounts, ids, origins []string
	since, until           string
}

func (f *eventFlags) register(flags *pflag.FlagSet, origins string) {
	flags.StringVar(&f.since, "since", "", "only events since then: a time such as 2026-07-16T21:00:00Z, a date, or how long ago, such as 36h")
	flags.StringVar(&f.until, "until", "", "only events before then")
	flags.StringSliceVar(&f.accounts, "account", nil, "only those of this account; may be repeated")
	flags.StringSliceVar(&f.ids, "id", nil, "only the event of this id; may be repeated")
	flags.StringSliceVar(&f.origins, "origin", nil, "only events of this origin: "+origins+"; may be repeated")
}

// filter is what the flags say. Of origins it takes those that are allowed.
func (f *eventFlags) filter(now time.Time, allowed ...pipeline.Origin) (filter query.EventFilter, err error) {
	filter = query.EventFilter{Accounts: f.accounts, IDs: f.ids}
	if err := state.CheckAccountNames(f.accounts); err != nil {
		return filter, err
	}
	for _, text := range f.origins {
		if !slices.Contains(allowed, pipeline.Origin(text)) {
			var names []string
			for _, o := range allowed {
				names = append(names, string(o))
			}
			return filter, exit.Usagef("--origin %q: want %s", text, strings.Join(names, ", "))
		}
		filter.Origins = append(filter.Origins, pipeline.Origin(text))
	}
	if filter.Since, err = text.ParseTime(f.since, now); err != nil {
		return filter, exit.Usagef("--since %w", err)
	}
	if filter.Until, err = text.ParseTime(f.until, now); err != nil {
		return filter, exit.Usagef("--until %w", err)
	}
	if !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		return filter, exit.Usagef("--since %s is not before --until %s", f.since, f.until)
	}
	return filter, nil
}

// eachEvent calls use for each event that matches.
func eachEvent(ctx context.Context, c *api.Client, q *api.EventQuery, use func(*api.Event) error) error {
	for e, err := range c.History(ctx, q) {
		if err != nil {
			return err
		}
		if err := use(&e); err != nil {
			return err
		}
	}
	return nil
}

// History is relay history: the events of the journal.
func History(p *state.State) *cobra.Command {
	var f eventFlags
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "history", Short: "Show the events of the journal", Args: state.NoArgs,
		Long: `Show the events that the journal has, in the order in which they came into it. The flags go by when a treat was sent. It works whether
or not relay runs.`,
		Example: "  relay history --since 2h\n  relay history --since 2026-07-16 --json | jq -r .data.title | sort | uniq -c",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now(), pipeline.OriginLive, pipeline.OriginBackfill, pipeline.OriginTest, pipeline.OriginReplay)
			if err != nil {
				return err
			}
			if limit < 0 {
				return exit.Usagef("--limit %d: want a number above 0", limit)
			}
			list := &eventList{State: p, json: asJSON}
			err = p.WithAPI(cmd.Context(), func(c *api.Client) error {
				return eachEvent(cmd.Context(), c, &api.EventQuery{EventFilter: filter, Limit: limit}, list.add)
			})
			switch {
			case errors.Is(err, syscall.EPIPE):
				return nil
			case err == nil && list.n == 0:
				return p.Say("Nothing matched: there is no such event.")
			}
			return err
		},
	}
	f.register(cmd.Flags(), "live, backfill or test, or replay for what was sent again")
	cmd.Flags().IntVar(&limit, "limit", 0, "no more than this many, oldest first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the events themselves, one a line")
	return cmd
}

// eventList prints events as they come, so that any number of them takes little memory.
type eventList struct {
	*state.State
	json bool
	n    int
}

func (l *eventList) add(e *api.Event) error {
	l.n++
	if l.json {
		_, err := fmt.Fprintf(l.Out, "%s\n", e.Event)
		return err
	}
	const format = "%-19s  %-8s  %-12s  %-18s  %-24s  %-30s  %s\n"
	if l.n == 1 {
		if _, err := fmt.Fprintf(l.Out, format, "TIME", "ORIGIN", "ACCOUNT", "SENDER", "TITLE", "EVENT", "MESSAGE"); err != nil {
			return err
		}
	}
	event, err := e.Record().Event()
	if err != nil {
		return err
	}
	d := &event.Data
	_, err = fmt.Fprintf(l.Out, format, e.Time.Local().Format(time.DateTime), e.Origin, e.Account,
		text.Cell(d.Sender, 18), text.Cell(d.Title, 24), e.ID, text.Cell(d.Message, 60))
	return err
}
