package main

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

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

func (p *program) sinksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sinks", Short: "See how the sinks are, and switch them off and on", Args: unknownCommand,
		Long: `See how the sinks are, and switch them off and on. What comes for a sink that is disabled waits in the journal. These
commands work whether or not relay runs; without one they show how it was left. Without a command it lists them.`,
		Example: "  relay sinks\n  relay sinks disable bot",
	}
	p.listsSinks(cmd)
	list := &cobra.Command{
		Use: "list", Short: "Show how the sinks are", Args: noArgs,
		Example: "  relay sinks list\n  relay sinks list --json | jq -r 'select(.state != \"ok\") | .sink'",
	}
	p.listsSinks(list)
	cmd.AddCommand(list, p.enableSinkCommand(), p.disableSinkCommand())
	return cmd
}

// sinkNames are those of the configuration with their types, if there is one that can be read.
func (p *program) sinkNames() (names []string, types map[string]string) {
	types = make(map[string]string)
	path, err := FindConfig(p.configPath, p.getenv)
	if err != nil || path == "" {
		return nil, types
	}
	cfg, err := LoadConfig(path, p.getenv)
	if err != nil {
		return nil, types // withJournal tells, if it matters
	}
	for _, s := range cfg.Sinks {
		names, types[s.Name] = append(names, s.Name), s.Type
	}
	return names, types
}

// sinkLine is a sink as --json shows it.
type sinkLine struct {
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
func (p *program) listsSinks(cmd *cobra.Command) {
	var asJSON bool
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		names, types := p.sinkNames()
		var all []query.SinkStatus
		err := p.withJournal(cmd.Context(), func(j *journal.Journal) (err error) {
			all, err = query.Sinks(cmd.Context(), j, names)
			return err
		})
		if err == nil {
			err = p.showSinks(all, types, asJSON)
		}
		if errors.Is(err, syscall.EPIPE) {
			return nil
		}
		return err
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
}

func (p *program) showSinks(all []query.SinkStatus, types map[string]string, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(p.out)
		for _, s := range all {
			if err := enc.Encode(sinkLine{types[s.Sink], sinkState(s), s}); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
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
			last = "ok " + ago(now, a.Time)
			if a.Error != "" {
				last = "failed " + ago(now, a.Time)
			}
		}
		err := put(s.Sink, typ, state, fmt.Sprint(s.Pending), fmt.Sprint(s.InFlight), fmt.Sprint(s.Retries), fmt.Sprint(s.DeadLetters), last, printable(s.Reason))
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

// oneSink is for commands that take the name of one sink.
func oneSink(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one argument, the sink's name in the configuration; see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

// changeSink changes what is known of a sink that is configured or has a place in the journal.
func (p *program) changeSink(ctx context.Context, name string, change func(*journal.SinkState)) error {
	names, _ := p.sinkNames()
	return p.withJournal(ctx, func(j *journal.Journal) error {
		all, err := query.Sinks(ctx, j, names)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(s query.SinkStatus) bool { return s.Sink == name }) {
			var known []string
			for _, s := range all {
				known = append(known, s.Sink)
			}
			return usagef("no sink %q; there are [%s]", name, strings.Join(known, ", "))
		}
		_, err = j.UpdateSink(ctx, name, change)
		return err
	})
}

func (p *program) enableSinkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let a disabled sink have its events again, from where it stopped", Args: oneSink, Example: "  relay sinks enable bot",
		RunE: func(cmd *cobra.Command, args []string) error {
			var since time.Time
			err := p.changeSink(cmd.Context(), args[0], func(s *journal.SinkState) {
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
				return p.say("Sink %s is not disabled.", args[0])
			}
			return p.say("Enabled %s, which was disabled since %s.", args[0], since.Local().Format(time.DateTime))
		},
	}
}

func (p *program) disableSinkCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Send nothing more to a sink; what comes for it waits in the journal", Args: oneSink,
		Example: "  relay sinks disable bot --reason \"moving house\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			was := false
			err := p.changeSink(cmd.Context(), args[0], func(s *journal.SinkState) {
				if was = !s.DisabledSince.IsZero(); !was {
					s.DisabledSince, s.Reason = time.Now().UTC(), reason
				}
			})
			switch {
			case err != nil:
				return err
			case was:
				return p.say("Sink %s is disabled already.", args[0])
			}
			return p.say("Disabled %s; relay sinks enable %s undoes it.", args[0], args[0])
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "disabled by the operator", "why, for those who look at it later")
	return cmd
}
