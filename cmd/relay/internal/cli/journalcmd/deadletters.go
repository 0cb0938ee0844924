package journalcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// DeadLetters is relay deadletters: what a sink refused for good.
func DeadLetters(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletters", Short: "List, redrive or delete the events that a sink refused for good", Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
		Long: `Handle the dead letters: the events that a sink refused for good, or did not take in time. The journal keeps them as long
as any event. These commands work whether or not relay runs.`,
	}
	cmd.AddCommand(listDeadLettersCommand(p), showDeadLetterCommand(p), redriveCommand(p), purgeCommand(p))
	return cmd
}

// letterFlags choose dead letters.
type letterFlags struct {
	sinks, accounts, ids []string
	since, until, reason string
	limit                int
	all                  bool // for those that settle
	json                 bool
}

func (f *letterFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.sinks, "sink", nil, "only those of this sink; may be repeated")
	flags.StringSliceVar(&f.accounts, "account", nil, "only those of this account; may be repeated")
	flags.StringSliceVar(&f.ids, "id", nil, "only the event of this id, or the dead letter of this number; may be repeated")
	flags.StringVar(&f.since, "since", "", "only those refused since then: a time such as 2026-07-16T21:00:00Z, a date, or how long ago, such as 36h")
	flags.StringVar(&f.until, "until", "", "only those refused before then")
	flags.StringVar(&f.reason, "reason", "", "only those whose reason contains this text")
	flags.IntVar(&f.limit, "limit", 0, "no more than this many, oldest first")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a line on stdout")
}

// choosingFlags are those that say which dead letters; a limit alone does not.
func choosingFlags() []string { return []string{"sink", "account", "id", "since", "until", "reason"} }

// query is what the flags say.
func (f *letterFlags) query(now time.Time) (q *api.LetterQuery, err error) {
	q = &api.LetterQuery{DeadLetterFilter: journal.DeadLetterFilter{Sinks: f.sinks, Accounts: f.accounts, Reason: f.reason}, Limit: f.limit, All: f.all}
	for _, id := range f.ids {
		if number, err := strconv.ParseUint(id, 10, 64); err == nil {
			q.Numbers = append(q.Numbers, number)
		} else {
			q.IDs = append(q.IDs, id)
		}
	}
	if q.Since, err = text.ParseTime(f.since, now); err != nil {
		return nil, exit.Usagef("--since %w", err)
	}
	if q.Until, err = text.ParseTime(f.until, now); err != nil {
		return nil, exit.Usagef("--until %w", err)
	}
	if f.limit < 0 {
		return nil, exit.Usagef("--limit %d: want a number above 0", f.limit)
	}
	return q, nil
}

func listDeadLettersCommand(p *state.State) *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the dead letters, oldest first", Args: state.NoArgs,
		Example: "  relay deadletters list --sink bot --since 24h\n  relay deadletters list --json | jq -r .reason | sort | uniq -c",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := &letterList{State: p, json: f.json}
			n, err := eachDeadLetter(cmd.Context(), p, &f, func(_ *api.Client, d journal.DeadLetter) error { return list.add(d) })
			return closeList(p, err, n, "")
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// eachDeadLetter calls use for each that the flags choose, and counts those for which it returned nil.
func eachDeadLetter(ctx context.Context, p *state.State, f *letterFlags, use func(*api.Client, journal.DeadLetter) error) (n int, err error) {
	q, err := f.query(time.Now())
	if err != nil {
		return 0, err
	}
	err = p.WithAPI(ctx, func(c *api.Client) error {
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

// closeList says how many there were, and takes a reader who has left for one who has seen enough.
func closeList(p *state.State, err error, n int, did string) error {
	switch {
	case errors.Is(err, syscall.EPIPE) && did == "":
		return nil
	case n > 0:
		noun := "dead letters"
		if n == 1 {
			noun = "dead letter"
		}
		return errors.Join(p.Say("%s%d %s.", did, n, noun), err)
	case err == nil:
		return p.Say("Nothing matched: there is no such dead letter.")
	}
	return err
}

// letterList prints dead letters as they come, so that any number of them takes little memory.
type letterList struct {
	*state.State
	json  bool
	begun bool
}

func (l *letterList) add(d journal.DeadLetter) error {
	if l.json {
		return json.NewEncoder(l.Out).Encode(d)
	}
	const format = "%-8v  %-19s  %-30s  %-14s  %8v  %s\n"
	if !l.begun {
		l.begun = true
		if _, err := fmt.Fprintf(l.Out, format, "NUMBER", "REFUSED", "EVENT", "SINK", "ATTEMPTS", "REASON"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(l.Out, format, d.Number, d.Time.Local().Format(time.DateTime), d.ID, d.Sink, d.Attempts, text.Printable(d.Reason))
	return err
}

func showDeadLetterCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NUMBER|ID", Short: "Show a dead letter with its event", Example: "  relay deadletters show 1042",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("%s takes one argument, the number of a dead letter or the id of its event; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f := &letterFlags{ids: args}
			n, err := eachDeadLetter(cmd.Context(), p, f, func(c *api.Client, d journal.DeadLetter) error {
				return showDeadLetter(cmd.Context(), p, c, d.Number, asJSON)
			})
			if err == nil && n == 0 {
				err = fmt.Errorf("no dead letter %s; relay deadletters list shows those there are", args[0])
			}
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func showDeadLetter(ctx context.Context, p *state.State, c *api.Client, number uint64, asJSON bool) error {
	d, err := c.DeadLetter(ctx, number)
	if err != nil {
		return err
	}
	event := string(d.Event)
	if event == "" {
		event = journal.ErrEventGone.Error()
	}
	if asJSON {
		return json.NewEncoder(p.Out).Encode(d)
	}
	_, err = fmt.Fprintf(p.Out, "number    %d\nsink      %s\nrefused   %s, attempts: %d\nreason    %s\nevent     %s, %d in the journal\naccount   %s (%s, %s)\n%s\n",
		d.Number, d.Sink, d.Time.Local().Format(time.DateTime), d.Attempts, text.Printable(d.Reason), d.ID, d.Seq, d.Account, d.Provider, d.Origin, event)
	return err
}

func redriveCommand(p *state.State) *cobra.Command {
	return settleCommand(p, &cobra.Command{
		Use: "redrive", Short: "Give the events of dead letters to their sinks again",
		Long: `Give the events of dead letters to their sinks again, with the ids they have, and delete the dead letters. The events go to
the end of the journal; a sink takes them when their turn comes, also if relay does not run now. What it refuses again becomes
a dead letter again.`,
		Example: "  relay deadletters redrive --sink bot --reason 404\n  relay deadletters redrive --all --dry-run",
	}, "Redrove ", (*api.Client).Redrive)
}

func purgeCommand(p *state.State) *cobra.Command {
	return settleCommand(p, &cobra.Command{
		Use: "purge", Short: "Delete dead letters",
		Example: "  relay deadletters purge --id 1042\n  relay deadletters purge --sink bot --until 2026-07-01",
	}, "Deleted ", (*api.Client).Purge)
}

// settleCommand completes a command after which the dead letters are gone.
func settleCommand(
	p *state.State, cmd *cobra.Command, did string, settle func(*api.Client, context.Context, *api.LetterQuery) iter.Seq2[api.LetterResult, error],
) *cobra.Command {
	var f letterFlags
	var dryRun bool
	cmd.Args = state.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := f.query(time.Now())
		if err != nil {
			return err
		}
		if q.Chooses() == q.All {
			return exit.Usagef("%s wants either --all or flags that choose, such as --sink or --id; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
		if q.Chooses() && !state.GivenOnCommandLine(cmd.Flags(), choosingFlags()...) {
			return exit.Usagef("%s: only environment variables such as RELAY_SINK choose, which may be meant for another command: give it the flags themselves", cmd.CommandPath())
		}
		list := &letterList{State: p, json: f.json}
		if dryRun {
			n, err := eachDeadLetter(cmd.Context(), p, &f, func(_ *api.Client, d journal.DeadLetter) error { return list.add(d) })
			return closeList(p, err, n, "Dry run, nothing was done: ")
		}
		n := 0
		err = p.WithAPI(cmd.Context(), func(c *api.Client) (err error) {
			n, err = list.settle(settle(c, cmd.Context(), q))
			return err
		})
		return closeList(p, err, n, did)
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them, instead of flags that choose")
	state.WithoutVariable(cmd.Flags(), "all")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be done away with")
	return cmd
}

// settle lists the dead letters as they are done with, and counts them. Those that are kept are reported.
func (l *letterList) settle(results iter.Seq2[api.LetterResult, error]) (n int, err error) {
	kept := false
	for result, err := range results {
		switch {
		case err != nil:
		case result.Kept != nil:
			kept, err = true, l.Say("relay: %v", result.Kept)
		default:
			n++
			if l.json {
				err = l.add(result.Letter)
			}
		}
		if err != nil {
			return n, err
		}
	}
	if kept {
		return n, exit.ErrSilent
	}
	return n, nil
}
