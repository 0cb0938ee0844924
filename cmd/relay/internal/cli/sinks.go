package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
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

// sinkNames are those of the configuration with their types, if there is one that can be read.
func sinkNames(p *state.State) (names []string, types map[string]string) {
	types = make(map[string]string)
	path, err := config.Find(p.ConfigPath, p.Getenv)
	if err != nil || path == "" {
		return nil, types
	}
	cfg, err := config.Load(path, p.Getenv)
	if err != nil {
		return nil, types // withJournal tells, if it matters
	}
	for _, s := range cfg.Sinks {
		names, types[s.Name] = append(names, s.Name), s.Type
	}
	return names, types
}

// SinkLine is a sink as --json shows it.
type SinkLine struct {
	Type  string `json:"type,omitempty"` // empty if the configuration does not have it
	State string `json:"state"`          // new, ok, down or disabled
	query.SinkStatus
}

func sinkState(s query.SinkStatus) string {
	switch {
	case !s.DisabledSince.IsZero():
		return "disabled"
	case !s.DownSince.IsZero():
		return "down"
	case !s.Opened:
		return "new"
	}
	return "ok"
}

// listsSinks makes cmd list the sinks.
func listsSinks(p *state.State, cmd *cobra.Command) {
	var asJSON bool
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		names, types := sinkNames(p)
		var all []query.SinkStatus
		err := p.WithJournal(cmd.Context(), func(j *journal.Journal) (err error) {
			all, err = query.Sinks(cmd.Context(), j, names)
			return err
		})
		if err == nil {
			err = showSinks(p, all, types, asJSON)
		}
		if errors.Is(err, syscall.EPIPE) {
			return nil
		}
		return err
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
}

func showSinks(p *state.State, all []query.SinkStatus, types map[string]string, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(p.Out)
		for _, s := range all {
			if err := enc.Encode(SinkLine{types[s.Sink], sinkState(s), s}); err != nil {
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
		typ, state := types[s.Sink], sinkState(s)
		if typ == "" {
			typ = "not configured"
		}
		switch state {
		case "disabled":
			state += " since " + s.DisabledSince.Local().Format(time.DateTime)
		case "down":
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

// changeSink changes what is known of a sink that is configured or has a place in the journal.
func changeSink(ctx context.Context, p *state.State, name string, change func(*journal.SinkState)) error {
	names, _ := sinkNames(p)
	return p.WithJournal(ctx, func(j *journal.Journal) error {
		all, err := query.Sinks(ctx, j, names)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(s query.SinkStatus) bool { return s.Sink == name }) {
			var known []string
			for _, s := range all {
				known = append(known, s.Sink)
			}
			return exit.Usagef("no sink %q; there are [%s]", name, strings.Join(known, ", "))
		}
		_, err = j.UpdateSink(ctx, name, change)
		return err
	})
}

func enableSinkCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let a disabled sink have its events again, from where it stopped", Args: state.OneSink, Example: "  relay sinks enable bot",
		RunE: func(cmd *cobra.Command, args []string) error {
			var since time.Time
			err := changeSink(cmd.Context(), p, args[0], func(s *journal.SinkState) {
				if since = s.DisabledSince; since.IsZero() {
					return
				}
				s.DisabledSince = time.Time{}
				if s.DownSince.IsZero() {
					s.Reason = ""
				}
			})
			switch {
			case err != nil:
				return err
			case since.IsZero():
				return p.Say("Sink %s is not disabled.", args[0])
			}
			return p.Say("Enabled %s, which was disabled since %s.", args[0], since.Local().Format(time.DateTime))
		},
	}
}

func disableSinkCommand(p *state.State) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Send nothing more to a sink; what comes for it waits in the journal", Args: state.OneSink,
		Example: "  relay sinks disable bot --reason \"moving house\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			was := false
			err := changeSink(cmd.Context(), p, args[0], func(s *journal.SinkState) {
				if was = !s.DisabledSince.IsZero(); !was {
					s.DisabledSince, s.Reason = time.Now().UTC(), reason
				}
			})
			switch {
			case err != nil:
				return err
			case was:
				return p.Say("Sink %s is disabled already.", args[0])
			}
			return p.Say("Disabled %s; relay sinks enable %s undoes it.", args[0], args[0])
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "disabled by the operator", "why, for those who look at it later")
	return cmd
}
