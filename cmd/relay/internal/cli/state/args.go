package state

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// NoArgs validates the arguments of a command that takes none.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usagef("%s takes no argument, got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// OneArg returns the validation of a command that takes exactly one argument, which must not be blank. what describes the argument in the
// error, such as "the id of an event".
func OneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
			return exit.Usagef("%s takes one argument, %s; see %s --help", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}

// OneAccount validates the arguments of a command that takes the name of an account.
func OneAccount(cmd *cobra.Command, args []string) error {
	return OneArg("the account's name in the configuration")(cmd, args)
}

// OptionalAccount validates the arguments of a command that takes the name of an account, and needs none if only one is configured.
func OptionalAccount(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return OneAccount(cmd, args)
}

// OneSink validates the arguments of a command that takes the name of a sink.
func OneSink(cmd *cobra.Command, args []string) error {
	return OneArg("the sink's name in the configuration")(cmd, args)
}

// NoUnknownCommand validates the arguments of a command that has subcommands: none is allowed. The error suggests the nearest subcommand.
func NoUnknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
	}
	return exit.Usagef("no command %q; %s", args[0], hint)
}

// RequireSubcommand is the RunE of a command that does nothing without a subcommand: an error of usage that lists them.
func RequireSubcommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return exit.Usagef("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// CheckAccountNames rejects values of --account that are not valid names of accounts.
func CheckAccountNames(names []string) error {
	for _, name := range names {
		if !config.ValidName.MatchString(name) {
			return exit.Usagef("--account %q: this is not a valid account name", name)
		}
	}
	return nil
}
