package state

import (
	"strings"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// Flags returns the --config and --data-dir flags in effect, each with a blank before it; empty if none was given. Every relay command that
// is shown to the user needs them to mean the same configuration and data.
func (s *State) Flags() string {
	flags := ""
	if s.ConfigPath != "" {
		flags += " --config " + text.ShellQuote(s.ConfigPath)
	}
	if s.DataDir != "" {
		flags += " --data-dir " + text.ShellQuote(s.DataDir)
	}
	return flags
}

// Command returns a relay command line that the user can run as is: "relay", the words, each quoted for a POSIX shell if necessary, and
// [State.Flags].
func (s *State) Command(words ...string) string {
	var b strings.Builder
	b.WriteString("relay")
	for _, word := range words {
		b.WriteString(" " + text.ShellQuote(word))
	}
	return b.String() + s.Flags()
}

// Fix returns advice as text, with [State.Flags] after its relay command. Errors need not call it: the root command does so for the advice
// in every error that a command returns.
func (s *State) Fix(fix advice.Fix) string { return fix.With(s.Flags()) }
