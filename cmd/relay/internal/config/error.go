package config

import (
	"fmt"
	"strings"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Fault is one fault of a configuration file. It never quotes a secret.
type Fault struct {
	File         string
	Line, Column int    // From 1; the column counts characters. Both are 0 if the fault has no place in the file.
	Path         string // The key, such as sinks.bot.url; empty if the fault is not about a key.
	Message      string
}

// Error returns one line, as in relay.yaml:12:7: sinks.bot.ulr: unknown key.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	return b.String() + ": " + f.Message
}

// Faults are the faults of a file, in the file's order.
type Faults []Fault

// Error returns one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// ExitCode returns the exit code of a command that fails because of them.
func (Faults) ExitCode() int { return exit.Config }
