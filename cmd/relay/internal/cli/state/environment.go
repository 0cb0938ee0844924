package state

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Annotations of flags.
const (
	noVariable   = "relay_no_variable"   // the flag has no environment variable
	fromVariable = "relay_from_variable" // the flag was set by its environment variable
)

// FromEnvironment sets every flag that was not given from its environment variable, such as RELAY_LOG_LEVEL for --log-level. The error
// names each variable whose value is invalid.
func (s *State) FromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "config" || annotated(f, noVariable) { // FindConfig reads RELAY_CONFIG
			return
		}
		name := "RELAY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := s.Getenv(name)
		if !ok || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, exit.Usagef("%s=%q: %w", name, value, err))
		}
		annotate(f, fromVariable)
	})
	return errors.Join(errs...)
}

// WithoutVariable removes the environment variables of flags that destroy something or skip a check: a variable that was set for another
// command must not trigger that.
func WithoutVariable(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags.Lookup(name), noVariable)
	}
}

// GivenOnCommandLine reports whether at least one of these flags was given on the command line, rather than by its environment variable.
func GivenOnCommandLine(flags *pflag.FlagSet, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		f := flags.Lookup(name)
		return f.Changed && !annotated(f, fromVariable)
	})
}

func annotate(f *pflag.Flag, annotation string) {
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[annotation] = []string{}
}

func annotated(f *pflag.Flag, annotation string) bool {
	_, ok := f.Annotations[annotation]
	return ok
}
