package journalcmd

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// settleOptions are the options of relay deadletters redrive and purge, which both delete the dead letters that they select.
type settleOptions struct {
	*state.State
	letterFlags
	dryRun bool
	report string // the words before the count, such as "Deleted "
	settle func(*api.Client, context.Context, *api.LetterQuery) iter.Seq2[api.LetterResult, error]
}

// complete adds the flags and the run function to a command that redrives or purges.
func (o *settleOptions) complete(cmd *cobra.Command) *cobra.Command {
	cmd.Args = state.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return o.run(cmd.Context(), cmd.CommandPath(), state.GivenOnCommandLine(cmd.Flags(), selectingFlags()...))
	}
	flags := cmd.Flags()
	o.register(flags)
	flags.BoolVar(&o.all, "all", false, "all dead letters, instead of flags that select some")
	state.WithoutVariable(flags, "all")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only list the dead letters, and change nothing")
	return cmd
}

// run settles the dead letters that the flags select. explicit reports whether a flag that selects was given on the command line: variables
// that were set for another command must not decide what is deleted.
func (o *settleOptions) run(ctx context.Context, command string, explicit bool) error {
	q, err := o.query(time.Now())
	if err != nil {
		return err
	}
	switch {
	case q.HasFilter() == q.All:
		return exit.Usagef("%s wants either --all or flags that select, such as --sink or --id; see %s --help", command, command)
	case q.HasFilter() && !explicit:
		return exit.Usagef("%s: only environment variables such as RELAY_SINK select, which may be meant for another command: give the flags themselves", command)
	case o.dryRun:
		return listDeadLetters(ctx, o.State, q, o.json, "Dry run, nothing was done: ")
	}
	n := 0
	err = o.WithAPI(ctx, func(c *api.Client) (err error) {
		n, err = o.printResults(o.settle(c, ctx, q))
		return err
	})
	return reportCount(o.State, err, n, o.report)
}

// printResults reports each dead letter that had to be kept, prints the others if the output is JSON, and returns the number of those.
func (o *settleOptions) printResults(results iter.Seq2[api.LetterResult, error]) (n int, err error) {
	kept := false
	for result, err := range results {
		switch {
		case err != nil:
		case result.Kept != nil:
			kept, err = true, o.Say("relay: %v", result.Kept)
		default:
			n++
			if o.json {
				err = o.PrintJSON(result.Letter)
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
