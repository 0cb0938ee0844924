package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

func sinksCommand(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sinks", Short: "See how the sinks are, and switch them off and on", Args: state.UnknownCommand,
		Long: `See how the sinks are, and switch them off and on. What comes for a sink that is disabled waits in the journal. These
commands work whether or not relay runs; without one they show how it was left. Without a command it lists them.`,
		Example: "  relay sinks\n  relay sinks disable bot",
	}
	listsSinks(p, cmd)
	list := &cobra.Command{
		Use: "list", Short: "Show how the sinks are", Args: state.NoArgs,
		Example: "  relay sinks list\n  relay sinks list --json | jq -r 'select(.state != \"ok\") | .sink'",
	}
	listsSinks(p, list)
	cmd.AddCommand(list, enableSinkCommand(p), disableSinkCommand(p))
	return cmd
}

// listsSinks makes cmd list the sinks.
func listsSinks(p *state.State, cmd *cobra.Command) {
	var asJSON bool
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var all []api.Sink
		err := p.WithAPI(cmd.Context(), func(c *api.Client) (err error) {
			all, err = c.Sinks(cmd.Context())
			return err
		})
		if err == nil {
			err = showSinks(p, all, asJSON)
		}
		if errors.Is(err, syscall.EPIPE) {
			return nil
		}
		return err
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
}

func showSinks(p *state.State, all []api.Sink, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(p.Out)
		for _, s := range all {
			if err := enc.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	put := func(cells ...string) error {
		_, err := fmt.Fprintln(table, strings.Join(cells, "\t"))
		return err
	}
	if err := put("SINK", "TYPE", "STATE", "PENDING", "IN FLIGHT", "RETRIES", "DEAD LETTERS", "LAST ATTEMPT", "WHY"); err != nil {
		return err
	}
	now := time.Now()
	for _, s := range all {
		typ, state := s.Type, s.State
		if typ == "" {
			typ = "not configured"
		}
		switch state {
		case api.StateDisabled:
			state += " since " + s.DisabledSince.Local().Format(time.DateTime)
		case api.StateDown:
			state += " since " + s.DownSince.Local().Format(time.DateTime)
		}
		last := "-"
		if a := s.LastAttempt; a != nil {
			last = "ok " + text.Ago(now, a.Time)
			if a.Error != "" {
				last = "failed " + text.Ago(now, a.Time)
			}
		}
		err := put(s.Sink, typ, state, fmt.Sprint(s.Pending), fmt.Sprint(s.InFlight), fmt.Sprint(s.Retries), fmt.Sprint(s.DeadLetters), last, text.Printable(s.Reason))
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

func enableSinkCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let a disabled sink have its events again, from where it stopped", Args: state.OneSink, Example: "  relay sinks enable bot",
		RunE: func(cmd *cobra.Command, args []string) error {
			var change api.SinkChange
			err := p.WithAPI(cmd.Context(), func(c *api.Client) (err error) {
				change, err = c.EnableSink(cmd.Context(), args[0])
				return err
			})
			switch {
			case err != nil:
				return err
			case !change.Changed:
				return p.Say("Sink %s is not disabled.", args[0])
			}
			return p.Say("Enabled %s, which was disabled since %s.", args[0], change.DisabledSince.Local().Format(time.DateTime))
		},
	}
}

func disableSinkCommand(p *state.State) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Send nothing more to a sink; what comes for it waits in the journal", Args: state.OneSink,
		Example: "  relay sinks disable bot --reason \"moving house\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			var change api.SinkChange
			err := p.WithAPI(cmd.Context(), func(c *api.Client) (err error) {
				change, err = c.DisableSink(cmd.Context(), args[0], reason)
				return err
			})
			switch {
			case err != nil:
				return err
			case !change.Changed:
				return p.Say("Sink %s is disabled already.", args[0])
			}
			return p.Say("Disabled %s; relay sinks enable %s undoes it.", args[0], args[0])
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "disabled by the operator", "why, for those who look at it later")
	return cmd
}
