package journalcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
)

// DeadLetters is relay deadletters: what a sink refused for good.
func DeadLetters(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletters", Short: "See after the events that a sink refused for good", Args: state.UnknownCommand, RunE: state.NeedCommand,
		Long: `See after the dead letters: the events that a sink refused for good, or did not take in time. The journal keeps them as long
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

// filter is what the flags say, and whether they choose at all.
func (f *letterFlags) filter(now time.Time) (filter journal.DeadLetterFilter, chosen bool, err error) {
	filter = journal.DeadLetterFilter{Sinks: f.sinks, Accounts: f.accounts, Reason: f.reason}
	for _, id := range f.ids {
		if number, err := strconv.ParseUint(id, 10, 64); err == nil {
			filter.Numbers = append(filter.Numbers, number)
		} else {
			filter.IDs = append(filter.IDs, id)
		}
	}
	if filter.Since, err = text.ParseTime(f.since, now); err != nil {
		return filter, false, exit.Usagef("--since %w", err)
	}
	if filter.Until, err = text.ParseTime(f.until, now); err != nil {
		return filter, false, exit.Usagef("--until %w", err)
	}
	if f.limit < 0 {
		return filter, false, exit.Usagef("--limit %d: want a number above 0", f.limit)
	}
	chosen = len(f.sinks)+len(f.accounts)+len(f.ids) > 0 || f.since+f.until+f.reason != ""
	return filter, chosen, nil
}

func listDeadLettersCommand(p *state.State) *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the dead letters, oldest first", Args: state.NoArgs,
		Example: "  relay deadletters list --sink bot --since 24h\n  relay deadletters list --json | jq -r .reason | sort | uniq -c",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := &letterList{State: p, json: f.json}
			n, err := eachDeadLetter(cmd.Context(), p, &f, func(_ *journal.Journal, d journal.DeadLetter) error { return list.add(d) })
			return closeList(p, err, n, "")
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// eachDeadLetter calls use for each that the flags choose, and counts those for which it returned nil.
func eachDeadLetter(ctx context.Context, p *state.State, f *letterFlags, use func(*journal.Journal, journal.DeadLetter) error) (n int, err error) {
	filter, _, err := f.filter(time.Now())
	if err != nil {
		return 0, err
	}
	seen := 0
	err = p.WithJournal(ctx, func(j *journal.Journal) error {
		for d, err := range j.DeadLetters(ctx, filter) {
			if err != nil {
				return err
			}
			switch err := use(j, d); {
			case err == nil:
				n++
			case !errors.Is(err, exit.ErrSilent): // that one is left as it is, and was said so
				return err
			}
			if seen++; seen == f.limit {
				return nil
			}
		}
		return nil
	})
	if err == nil && n < seen {
		err = exit.ErrSilent
	}
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
			n, err := eachDeadLetter(cmd.Context(), p, f, func(j *journal.Journal, d journal.DeadLetter) error {
				return showDeadLetter(cmd.Context(), p, j, d, asJSON)
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

func showDeadLetter(ctx context.Context, p *state.State, j *journal.Journal, d journal.DeadLetter, asJSON bool) error {
	r, err := j.DeadEvent(ctx, d)
	event := string(r.Line)
	switch {
	case errors.Is(err, journal.ErrEventGone):
		event = err.Error()
	case err != nil:
		return err
	default:
		d.Event, d.Account, d.Provider, d.Origin, d.Type = r.Line, r.Account, r.Provider, r.Origin, r.Type
	}
	if asJSON {
		return json.NewEncoder(p.Out).Encode(d)
	}
	_, err = fmt.Fprintf(p.Out, "number    %d\nsink      %s\nrefused   %s, attempts: %d\nreason    %s\nevent     %s, %d in the journal\naccount   %s (%s, %s)\n%s\n",
		d.Number, d.Sink, d.Time.Local().Format(time.DateTime), d.Attempts, text.Printable(d.Reason), d.ID, d.Seq, d.Account, d.Provider, d.Origin, event)
	return err
}

func redriveCommand(p *state.State) *cobra.Command {
	return mendCommand(p, &cobra.Command{
		Use: "redrive", Short: "Give the events of dead letters to their sinks again",
		Long: `Give the events of dead letters to their sinks again, with the ids they have, and delete the dead letters. The events go to
the end of the journal; a sink takes them when their turn comes, also if relay does not run now. What it refuses again becomes
a dead letter again.`,
		Example: "  relay deadletters redrive --sink bot --reason 404\n  relay deadletters redrive --all --dry-run",
	}, "Redrove ", (*journal.Journal).Redrive)
}

func purgeCommand(p *state.State) *cobra.Command {
	return mendCommand(p, &cobra.Command{
		Use: "purge", Short: "Delete dead letters",
		Example: "  relay deadletters purge --id 1042\n  relay deadletters purge --sink bot --until 2026-07-01",
	}, "Deleted ", (*journal.Journal).DeleteDeadLetter)
}

// mendCommand completes a command that does away with dead letters.
func mendCommand(p *state.State, cmd *cobra.Command, did string, mend func(*journal.Journal, context.Context, journal.DeadLetter) error) *cobra.Command {
	var f letterFlags
	var all, dryRun bool
	cmd.Args = state.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, chosen, err := f.filter(time.Now())
		if err != nil {
			return err
		}
		if chosen == all {
			return exit.Usagef("%s wants either --all or flags that choose, such as --sink or --id; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
		if chosen && !state.OnCommandLine(cmd.Flags(), choosingFlags()...) {
			return exit.Usagef("%s: only environment variables such as RELAY_SINK choose, which may be meant for another command: give it the flags themselves", cmd.CommandPath())
		}
		list, done := &letterList{State: p, json: f.json}, did
		if dryRun {
			done = "Dry run, nothing was done: "
		}
		n, err := eachDeadLetter(cmd.Context(), p, &f, func(j *journal.Journal, d journal.DeadLetter) error {
			if dryRun {
				return list.add(d)
			}
			err := mend(j, cmd.Context(), d)
			if errors.Is(err, journal.ErrEventGone) {
				return errors.Join(exit.ErrSilent, p.Say("relay: %s; it is kept, relay deadletters purge --id %d deletes it", err, d.Number))
			}
			if err == nil && f.json {
				err = list.add(d)
			}
			return err
		})
		return closeList(p, err, n, done)
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "all of them, instead of flags that choose")
	state.OnlyOnCommandLine(cmd.Flags(), "all")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be done away with")
	return cmd
}
