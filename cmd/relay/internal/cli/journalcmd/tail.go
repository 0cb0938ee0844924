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

// tailFlags are those of relay tail.
type tailFlags struct {
	since    string
	accounts []string
	filter   string
	json     bool
}

// Tail is relay tail: events as they are journaled.
func Tail(p *state.State) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use: "tail", Short: "Show events as they are journaled", Args: state.NoArgs,
		Long: `Show each event as it is journaled, from now on, until Ctrl-C. It asks the relay that runs on the data folder, or the server of
journal.nats_url, and leaves nothing there. If that goes away it is waited for, like a file by tail -F, and nothing that is journaled
meanwhile is missing. What was put before one sink only, such as replays, is not shown.

The filter is an expression as in a sink's filter. An event of which it cannot tell is shown.`,
		Example: "  relay tail\n  relay tail --since 1h --account mystream\n  relay tail --json --filter 'data.title contains \"pizza\"' | jq .data.sender",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runTail(cmd.Context(), p, &f)
			if errors.Is(err, syscall.EPIPE) || cmd.Context().Err() != nil {
				return nil //nolint:nilerr // it was told to end
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "first the events that were journaled since then: how long ago, such as 10m, or a time, or a date")
	flags.StringSliceVar(&f.accounts, "account", nil, "only those of this account; may be repeated")
	flags.StringVar(&f.filter, "filter", "", "only those that match this expression, such as 'data.title contains \"pizza\"'")
	flags.BoolVar(&f.json, "json", false, "print the events themselves, one a line")
	return cmd
}

// A tail is where a walk along the journal is.
type tail struct {
	*state.State
	tailFlags
	match *rules.Filter // nil: all
	from  query.FollowConfig
	begun bool // from says where to go on
}

// tailPause is how long a tail waits before it asks again for a journal that is away.
const tailPause = 500 * time.Millisecond

// runTail shows events until ctx ends or the reader leaves. The journal has to be there at first, and is waited for afterwards.
func runTail(ctx context.Context, p *state.State, f *tailFlags) error {
	t := &tail{State: p, tailFlags: *f, from: query.FollowConfig{Accounts: f.accounts}}
	err := state.CheckAccountNames(f.accounts)
	if err != nil {
		return err
	}
	if t.from.Since, err = text.ParseTime(f.since, time.Now()); err != nil {
		return exit.Usagef("--since %w", err)
	}
	if f.filter != "" {
		if t.match, err = rules.NewFilter(f.filter); err != nil {
			return exit.Usagef("--filter: %w", err)
		}
	}
	away := ""
	for {
		start := time.Now()
		err := p.WithLiveAPI(ctx, func(c *api.Client) error {
			if away != "" {
				away = ""
				if err := p.Say("It is back; going on."); err != nil {
					return err
				}
			}
			return t.follow(ctx, c)
		})
		if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) || !t.begun {
			return err
		}
		if failed, ok := errors.AsType[*showError](err); ok {
			return failed.err
		}
		// A connection that is lost after a while may be back at once.
		if _, lost := errors.AsType[*lostError](err); err.Error() != away && (!lost || time.Since(start) <= 2*tailPause) {
			away = err.Error()
			if err := p.Say("%s; waiting for it.", strings.TrimRight(text.OneLine(err), ".")); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tailPause):
		}
	}
}

// A lostError says that the journal was followed and cannot be any more, a showError that an event could not be shown.
type (
	lostError struct{ err error }
	showError struct{ err error }
)

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }
func (e *showError) Error() string { return e.err.Error() }
func (e *showError) Unwrap() error { return e.err }

// follow shows what the journal gets, from where the tail is.
func (t *tail) follow(ctx context.Context, c *api.Client) error {
	log := t.Logger()
	err := c.Follow(ctx, &api.FollowQuery{FollowConfig: t.from, Resume: t.begun}, func(number uint64) {
		t.from.After, t.begun = number, true
		log.Debug().Uint64("number", number).Msg("following the journal")
	}, func(e *api.Event) error {
		t.from.After = e.Number
		if err := t.show(e); err != nil {
			return &showError{err}
		}
		return nil
	})
	if _, failed := errors.AsType[*showError](err); failed || err == nil {
		return err
	}
	return &lostError{exit.With(exit.Unavailable, err)}
}

func (t *tail) show(e *api.Event) error {
	if t.match != nil {
		if ok, err := t.match.Match(e.Record()); err == nil && !ok {
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
