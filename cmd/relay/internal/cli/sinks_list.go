package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// sinksListOptions are the options of relay sinks list.
type sinksListOptions struct {
	*state.State
	json bool
}

func newSinksListCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Show the state of each sink", Args: state.NoArgs,
		Long: `Show the state of each sink: whether it is disabled or down and why, how many
events wait for it, its last attempt, and its dead letters. "relay sinks" does
the same.`,
		Example: "  relay sinks list\n  relay sinks list --json | jq -r 'select(.state != \"ok\") | .sink'",
	}
	completeSinksListCmd(s, cmd)
	return cmd
}

// completeSinksListCmd adds the flags and the run function to a command that lists the sinks.
func completeSinksListCmd(s *state.State, cmd *cobra.Command) {
	o := sinksListOptions{State: s}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return state.IgnoreClosedPipe(o.run(cmd.Context())) }
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per line")
}

func (o *sinksListOptions) run(ctx context.Context) error {
	var all []api.Sink
	err := o.WithAPI(ctx, func(c *api.Client) (err error) {
		all, err = c.Sinks(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if !o.json {
		return o.printTable(all)
	}
	for _, s := range all {
		if err := o.PrintJSON(s); err != nil {
			return err
		}
	}
	return nil
}

func (o *sinksListOptions) printTable(all []api.Sink) error {
	table := state.NewTable(o.Out)
	table.Row("SINK", "TYPE", "STATE", "PENDING", "IN FLIGHT", "RETRIES", "DEAD LETTERS", "LAST ATTEMPT", "WHY")
	now := time.Now()
	for i := range all {
		s := &all[i]
		typ, state, last := s.Type, s.State, "-"
		if typ == "" {
			typ = "not configured"
		}
		switch state {
		case api.StateDisabled:
			state += " since " + s.DisabledSince.Local().Format(time.DateTime)
		case api.StateDown:
			state += " since " + s.DownSince.Local().Format(time.DateTime)
		}
		if a := s.LastAttempt; a != nil {
			last = "ok " + text.Ago(now, a.Time)
			if a.Error != "" {
				last = "failed " + text.Ago(now, a.Time)
			}
		}
		table.Row(s.Sink, typ, state, fmt.Sprint(s.Pending), fmt.Sprint(s.InFlight), fmt.Sprint(s.Retries), fmt.Sprint(s.DeadLetters), last, text.Printable(s.Reason))
	}
	return table.Flush()
}
