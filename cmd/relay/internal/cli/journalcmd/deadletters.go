package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// NewDeadLettersCmd returns relay deadletters, with its subcommands.
func NewDeadLettersCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletters", Short: "List, redrive or delete the events that sinks refused for good", Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
		Long: `List, redrive or delete the dead letters: the events that a sink refused for
good, or did not accept in time. The journal keeps them as long as any event.
These commands work whether or not relay runs.`,
	}
	cmd.AddCommand(newDeadLettersListCmd(s), newDeadLettersShowCmd(s), newDeadLettersRedriveCmd(s), newDeadLettersPurgeCmd(s))
	return cmd
}

// letterFlags are the flags that select dead letters, as given.
type letterFlags struct {
	timeRange
	sinks, accounts, ids []string
	reason               string
	limit                int
	all                  bool // only of commands that delete dead letters
	json                 bool
}

func (f *letterFlags) register(flags *pflag.FlagSet) {
	f.timeRange.register(flags, "only events refused")
	flags.StringSliceVar(&f.sinks, "sink", nil, "only events that this sink refused; can be repeated")
	registerAccounts(flags, &f.accounts)
	flags.StringSliceVar(&f.ids, "id", nil, "only the event with this ID, or the dead letter with this number; can be repeated")
	flags.StringVar(&f.reason, "reason", "", "only events that were refused with a reason that contains this text")
	registerLimit(flags, &f.limit)
	flags.BoolVar(&f.json, "json", false, "print one JSON object per line on standard output")
}

// selectingFlags are the names of the flags that select dead letters. A limit alone does not.
func selectingFlags() []string { return []string{"sink", "account", "id", "since", "until", "reason"} }

// query returns the query that the flags describe.
func (f *letterFlags) query(now time.Time) (q *api.LetterQuery, err error) {
	q = &api.LetterQuery{DeadLetterFilter: journal.DeadLetterFilter{Sinks: f.sinks, Accounts: f.accounts, Reason: f.reason}, Limit: f.limit, All: f.all}
	for _, id := range f.ids {
		if number, err := strconv.ParseUint(id, 10, 64); err == nil {
			q.Numbers = append(q.Numbers, number)
		} else {
			q.IDs = append(q.IDs, id)
		}
	}
	if q.Since, q.Until, err = f.parse(now); err != nil {
		return nil, err
	}
	return q, checkLimit(f.limit)
}

// forEachDeadLetter calls use for each dead letter that the query selects, oldest first, until use returns an error. n counts the calls
// that returned none.
func forEachDeadLetter(ctx context.Context, s *state.State, q *api.LetterQuery, use func(*api.Client, journal.DeadLetter) error) (n int, err error) {
	err = s.WithAPI(ctx, func(c *api.Client) error {
		for d, err := range c.DeadLetters(ctx, q) {
			if err == nil {
				err = use(c, d)
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// listDeadLetters prints the dead letters that the query selects, and then how many there were, after the words of prefix.
func listDeadLetters(ctx context.Context, s *state.State, q *api.LetterQuery, asJSON bool, prefix string) error {
	list := &letterList{out: s.Out, json: asJSON}
	n, err := forEachDeadLetter(ctx, s, q, func(_ *api.Client, d journal.DeadLetter) error { return list.print(d) })
	if errors.Is(err, syscall.EPIPE) && prefix == "" {
		return nil
	}
	return reportCount(s, err, n, prefix)
}

// reportCount says how many dead letters a command handled, after the words of prefix, and returns err.
func reportCount(s *state.State, err error, n int, prefix string) error {
	switch {
	case n > 0:
		return errors.Join(s.Say("%s%s.", prefix, plural(n, "dead letter")), err)
	case err == nil:
		return s.Say("Nothing matched: there is no such dead letter.")
	}
	return err
}

// letterList prints dead letters as they arrive: the columns have fixed widths, so that any number of them takes little memory.
type letterList struct {
	out     io.Writer
	json    bool
	started bool // the header is printed
}

func (l *letterList) print(d journal.DeadLetter) error {
	if l.json {
		return state.WriteJSON(l.out, d)
	}
	const format = "%-8v  %-19s  %-30s  %-14s  %8v  %s\n"
	if !l.started {
		l.started = true
		if _, err := fmt.Fprintf(l.out, format, "NUMBER", "REFUSED", "EVENT", "SINK", "ATTEMPTS", "REASON"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(l.out, format, d.Number, d.Time.Local().Format(time.DateTime), d.ID, d.Sink, d.Attempts, text.Printable(d.Reason))
	return err
}
