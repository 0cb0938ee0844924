package config

import (
	"fmt"
	"strings"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Fault is one fault of a configuration file. It never quotes a secret.
type Fault struct {
	File         string
	Line, Column int    // from 1, the column in characters; both 0 when the fault has no place in the file
	Path         string // the key, such as sinks.bot.url; empty when the fault is not about a key
	Message      string
}

// Error is one line: relay.yaml:12:7: sinks.bot.ulr: unknown key.
func (e Fault) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	return b.String() + ": " + e.Message
}

// Faults are all the faults of a file, in its order.
type Faults []Fault

// Error has one line for each fault.
func (e Faults) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is that of a command which the faults end.
func (Faults) ExitCode() int { return exit.Config }
