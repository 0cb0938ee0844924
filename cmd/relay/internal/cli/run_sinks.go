package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/sinks"
)

// requireAccounts returns an error if the configuration has no account.
func requireAccounts(cfg *config.Config) error {
	if len(cfg.Accounts) > 0 {
		return nil
	}
	return exit.With(exit.Config, fmt.Errorf("%s: no accounts: add one under accounts (docs/config.md), or try relay --simulate --sink stdout", cfg.Path))
}

// needsSinks reports whether the configuration must have a sink. relay needs none if an overlay shows the treats, or if no account receives any, so
// that it only renews tokens.
func needsSinks(cfg *config.Config) bool {
	return len(cfg.Sinks) > 0 || len(cfg.Overlays) == 0 && slices.ContainsFunc(cfg.Accounts, config.Account.Receives)
}

// selectSinks returns the sinks to run: those that are selected by name or type, or, without a selection, all that are configured.
func selectSinks(cfg *config.Config, selected []string) ([]config.Sink, error) {
	if len(selected) == 0 {
		if len(cfg.Sinks) == 0 {
			return nil, exit.With(exit.Config, fmt.Errorf("%s: no sinks: add one under sinks or an overlay under overlays (docs/config.md), or give --sink stdout", cfg.Path))
		}
		return cfg.Sinks, nil
	}
	var all []config.Sink
	for _, name := range selected {
		found := findSinks(cfg, name)
		if len(found) == 0 {
			sink, err := defaultSink(cfg, name)
			if err != nil {
				return nil, err
			}
			found = []config.Sink{sink}
		}
		for _, sink := range found {
			if !slices.ContainsFunc(all, func(other config.Sink) bool { return other.Name == sink.Name }) {
				all = append(all, sink)
			}
		}
	}
	return all, nil
}

// findSinks returns the sink of that name, or else all sinks of that type.
func findSinks(cfg *config.Config, name string) (all []config.Sink) {
	for _, s := range cfg.Sinks {
		if s.Name == name {
			return []config.Sink{s}
		}
		if s.Type == name {
			all = append(all, s)
		}
	}
	return all
}

// defaultSink returns a sink of a type that is not configured, with the defaults of the type. It is an error if the type needs a
// configuration.
func defaultSink(cfg *config.Config, typ string) (config.Sink, error) {
	c := sinks.NewConfig(typ)
	if c == nil {
		var names []string
		for _, s := range cfg.Sinks {
			names = append(names, s.Name)
		}
		return config.Sink{}, exit.Usagef("--sink %s: no sink has this name; configured are [%s], types are [%s]",
			typ, strings.Join(names, ", "), strings.Join(sinks.Types(), ", "))
	}
	if err := c.Validate(); err != nil {
		return config.Sink{}, exit.With(exit.Config, fmt.Errorf("--sink %s: no sink of this type is configured, and the type needs a configuration: %s",
			typ, strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return config.Sink{Name: typ, Type: typ, Lane: delivery.LaneConfig{Concurrency: c.Concurrency()}, Config: c}, nil
}
