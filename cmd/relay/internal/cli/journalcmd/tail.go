package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// reconnectDelay is how long relay tail waits before it tries again to reach a journal that went away.
const reconnectDelay = 500 * time.Millisecond

// tailOptions are the options of relay tail.
type tailOptions struct {
	*state.State
	since    string
	accounts []string
	filter   string
	json     bool
}

// NewTailCmd returns relay tail.
func NewTailCmd(s *state.State) *cobra.Command {
	o := tailOptions{State: s}
	cmd := &cobra.Command{
		Use: "tail", Short: "Show events as they are journaled", Args: state.NoArgs,
		Long: `Show each event as it is journaled, from now on, until Ctrl-C. It needs a relay
that runs on the data folder, or the server of journal.nats_url, and changes
nothing there. If that becomes unreachable, tail waits for it, like tail -F for
a file, and then shows the events that were journaled in the meantime. It does
not show events that are journaled for one sink only, such as replays.

The filter is an expression, as for the filter of a sink. tail also shows events
that the filter cannot evaluate.`,
		Example: "  relay tail\n  relay tail --since 1h --account mystream\n  relay tail --json --filter 'data.title contains \"pizza\"' | jq .data.sender",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := o.run(cmd.Context())
			if cmd.Context().Err() != nil { // Ctrl-C is how it ends
				err = nil
			}
			return state.IgnoreClosedPipe(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "", "first show the events journaled since this time: a duration before now, such as 10m, a time, or a date")
	registerAccounts(flags, &o.accounts)
	flags.StringVar(&o.filter, "filter", "", "only events that match this expression, such as 'data.title contains \"pizza\"'")
	flags.BoolVar(&o.json, "json", false, "print the events themselves, one per line")
	return cmd
}

// run shows events until ctx ends or the output is closed. The journal must be reachable at the start, and may go away afterwards.
func (o *tailOptions) run(ctx context.Context) error {
	t, err := o.newTail()
	if err != nil {
		return err
	}
	lastProblem := "" // the last one that was reported; empty while the journal is reachable
	for {
		start := time.Now()
		err := o.WithLiveAPI(ctx, func(c *api.Client) error {
			if lastProblem != "" {
				lastProblem = ""
				if err := o.Say("It is back; continuing."); err != nil {
					return err
				}
			}
			return t.follow(ctx, c)
		})
		if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) || !t.started {
			return err
		}
		if failed, ok := errors.AsType[*printError](err); ok {
			return failed.err
		}
		// A connection that breaks after a while is often back at once, and not worth a report.
		if _, lost := errors.AsType[*lostError](err); err.Error() != lastProblem && (!lost || time.Since(start) <= 2*reconnectDelay) {
			lastProblem = err.Error()
			if err := o.Say("%s; waiting for it.", strings.TrimRight(text.OneLine(err), ".")); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectDelay):
		}
	}
}

func (o *tailOptions) newTail() (t *tail, err error) {
	t = &tail{State: o.State, json: o.json, from: query.FollowConfig{Accounts: o.accounts}}
	if err := state.CheckAccountNames(o.accounts); err != nil {
		return nil, err
	}
	if t.from.Since, err = text.ParseTime(o.since, time.Now()); err != nil {
		return nil, exit.Usagef("--since %w", err)
	}
	if o.filter != "" {
		if t.filter, err = rules.NewFilter(o.filter); err != nil {
			return nil, exit.Usagef("--filter: %w", err)
		}
	}
	return t, nil
}

// A tail follows the journal and prints its events. It remembers its position across connections.
type tail struct {
	*state.State
	json    bool
	filter  *rules.Filter // nil for all events
	from    query.FollowConfig
	started bool // from.After is the position to continue after
}

// A lostError is the end of a connection over which the journal was followed; a printError is an event that could not be printed.
type (
	lostError  struct{ err error }
	printError struct{ err error }
)

func (e *lostError) Error() string  { return e.err.Error() }
func (e *lostError) Unwrap() error  { return e.err }
func (e *printError) Error() string { return e.err.Error() }
func (e *printError) Unwrap() error { return e.err }

// follow prints events from the position of t until ctx or the connection ends.
func (t *tail) follow(ctx context.Context, c *api.Client) error {
	log := t.Logger()
	err := c.Follow(ctx, &api.FollowQuery{FollowConfig: t.from, Resume: t.started}, func(number uint64) {
		t.from.After, t.started = number, true
		log.Debug().Uint64("number", number).Msg("following the journal")
	}, func(e *api.Event) error {
		t.from.After = e.Number
		if err := t.print(e); err != nil {
			return &printError{err}
		}
		return nil
	})
	if _, failed := errors.AsType[*printError](err); failed || err == nil || api.Is(err, api.ProblemNoAccount) {
		return err
	}
	return &lostError{exit.With(exit.Unavailable, err)}
}

func (t *tail) print(e *api.Event) error {
	if t.filter != nil {
		if ok, err := t.filter.Match(e.Record()); err == nil && !ok {
			return nil
		}
	}
	if t.json {
		_, err := fmt.Fprintf(t.Out, "%s\n", e.Event)
		return err
	}
	event, err := e.Record().Event()
	if err != nil {
		return err
	}
	d := &event.Data
	_, err = fmt.Fprintf(t.Out, "%-19s  %-12s  %-8s  %-18s  %-24s  %s\n", e.Time.Local().Format(time.DateTime), e.Account, e.Origin,
		text.Cell(d.Sender, 18), text.Cell(d.Title, 24), text.Cell(d.Message, 60))
	return err
}
