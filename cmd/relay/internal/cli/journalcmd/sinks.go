package journalcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// findSink returns the sink of that name in the configuration.
func findSink(cfg *config.Config, name string) (config.Sink, error) {
	var names []string
	for _, s := range cfg.Sinks {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return config.Sink{}, exit.Usagef("--sink %q: no sink of %s has this name; %s", name, cfg.Path, text.Suggest(name, names))
}

// selectAccounts returns the selected accounts, or, if none is selected, all that the sink receives; empty stands for all accounts. It is an
// error of usage if the sink does not receive one of them.
func selectAccounts(sink config.Sink, selected []string) ([]string, error) {
	received := sink.Lane.Accounts
	if len(selected) == 0 || len(received) == 0 {
		return slices.Concat(selected, received), nil
	}
	for _, a := range selected {
		if !slices.Contains(received, a) {
			return nil, exit.Usagef("--account %s: sink %s does not receive this account; sinks.%s.accounts has [%s]", a, sink.Name, sink.Name, strings.Join(received, ", "))
		}
	}
	return selected, nil
}

// findOpenedSink returns the status of a sink that has a position in the journal. Without one, events that are journaled for the sink would
// not reach it.
func findOpenedSink(ctx context.Context, c *api.Client, name string) (api.Sink, error) {
	all, err := c.Sinks(ctx)
	if err != nil {
		return api.Sink{}, err
	}
	for _, s := range all {
		if s.Sink == name && s.Opened {
			return s, nil
		}
	}
	return api.Sink{}, exit.With(exit.Unavailable, fmt.Errorf("sink %s has never run, so it has no position in the journal yet: start relay with it once", name))
}

// deliveryNote says why a sink does not receive newly journaled events right away, with a blank before it; empty if it does.
func deliveryNote(s *state.State, sink string, runs, disabled bool) string {
	switch {
	case disabled:
		return " Sink " + sink + " is disabled; to deliver to it, run: " + s.Command("sinks", "enable", sink)
	case !runs:
		return " No relay runs on this data folder; it delivers at its next start."
	}
	return ""
}
