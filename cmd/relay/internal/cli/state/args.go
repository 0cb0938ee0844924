package state

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// NoArgs is for commands that take no argument.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usagef("%s takes no argument, got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// UnknownCommand refuses arguments of a command that has only subcommands, and names the nearest of these.
func UnknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
	}
	return exit.Usagef("no command %q; %s", args[0], hint)
}

// NeedCommand is what a command that has only subcommands does.
func NeedCommand(cmd *cobra.Command, args []string) error {
	if err := UnknownCommand(cmd, args); err != nil {
		return err
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return exit.Usagef("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// What flags are annotated with.
const (
	commandLineOnly = "relay_command_line_only" // it has no environment variable
	fromVariable    = "relay_from_variable"     // it was set by its variable
)

// OnlyOnCommandLine takes their environment variables from flags that destroy something or do without a check: a variable that was set
// for another command must not do that.
func OnlyOnCommandLine(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags.Lookup(name), commandLineOnly)
	}
}

func annotate(f *pflag.Flag, with string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[with] = []string{}
}

func annotated(f *pflag.Flag, with string) bool {
	_, ok := f.Annotations[with]
	return ok
}

// OnCommandLine reports whether one of these flags was given, and not only its variable.
func OnCommandLine(flags *pflag.FlagSet, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		f := flags.Lookup(name)
		return f.Changed && !annotated(f, fromVariable)
	})
}

// OneAccount is for commands that take the name of one account.
func OneAccount(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return exit.Usagef("%s takes one argument, the account's name in the configuration; see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

// AtMostOneAccount is for commands that take the name of one account, which may be left out where only one is configured.
func AtMostOneAccount(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return OneAccount(cmd, args)
	}
	return nil
}

// OneSink is for commands that take the name of one sink.
func OneSink(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return exit.Usagef("%s takes one argument, the sink's name in the configuration; see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

// CheckAccountNames refuses values of --account that no account can have for a name.
func CheckAccountNames(names []string) error {
	for _, name := range names {
		if !config.ValidName.MatchString(name) {
			return exit.Usagef("--account %q: this is no name of an account", name)
		}
	}
	return nil
}
