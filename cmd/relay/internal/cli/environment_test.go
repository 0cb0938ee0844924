package cli

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
)

// everyCommand calls use for root and each command below it.
func everyCommand(root *cobra.Command, use func(*cobra.Command)) {
	use(root)
	for _, c := range root.Commands() {
		everyCommand(c, use)
	}
}

// Flags that destroy something or skip a check have no environment variable, in any command.
func TestDestructiveFlagsHaveNoVariable(t *testing.T) {
	dangerous := regexp.MustCompile(`(?:^|-)(?:all|force|yes|drop|accept|delete|overwrite|purge|insecure|skip|no-check|no-verify)(?:-|$)`)
	s := &state.State{Streams: state.Streams{Out: io.Discard, Err: io.Discard, Getenv: func(string) (string, bool) { return "true", true }}}
	var seen []string
	everyCommand(newRootCmd(s), func(cmd *cobra.Command) {
		_ = s.FromEnvironment(cmd.Flags()) // most flags do not take "true"
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !dangerous.MatchString(f.Name) {
				return
			}
			seen = append(seen, cmd.CommandPath()+" --"+f.Name)
			if f.Changed {
				t.Errorf("%s: --%s is set by a variable", cmd.CommandPath(), f.Name)
			}
		})
	})
	for _, want := range []string{
		"relay deadletters purge --all", "relay deadletters redrive --all", "relay auth logout --force", "relay auth import --force", "relay init --force",
		"relay auth login --accept-missing-state", "relay overlay revoke --all", "relay overlay file --force", "relay secrets rotate --drop-old",
	} {
		if !slices.Contains(seen, want) {
			t.Errorf("%s was not checked: %s", want, strings.Join(seen, ", "))
		}
	}
}

// Every boolean flag that has an environment variable is known to be harmless. Add a new one here, or remove its variable with
// state.WithoutVariable.
func TestSwitchesWithAVariableAreHarmless(t *testing.T) {
	harmless := []string{
		"json", "dry-run", "watch", "quiet", "no-browser", "moderator", "ping", "simulate", "consent", "ed25519",
		"backfill-first-run", // delivers more, once
	}
	s := &state.State{Streams: state.Streams{Out: io.Discard, Err: io.Discard, Getenv: func(string) (string, bool) { return "true", true }}}
	everyCommand(newRootCmd(s), func(cmd *cobra.Command) {
		_ = s.FromEnvironment(cmd.Flags()) // most flags do not take "true"
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Changed && f.Value.Type() == "bool" && !slices.Contains(harmless, f.Name) {
				t.Errorf("%s: --%s can be set by a variable: is it harmless?", cmd.CommandPath(), f.Name)
			}
		})
	})
}
