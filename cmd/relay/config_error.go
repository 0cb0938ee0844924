package main

import (
	"fmt"
	"strings"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// ConfigError is one fault of a configuration file. It never quotes a secret.
type ConfigError struct {
	File         string
	Line, Column int    // from 1, the column in characters; both 0 when the fault has no place in the file
	Path         string // the key, such as sinks.bot.url; empty when the fault is not about a key
	Message      string
}

// Error is one line: relay.yaml:12:7: sinks.bot.ulr: unknown key.
func (e ConfigError) Error() string {
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

// ConfigErrors are all the faults of a file, in its order.
type ConfigErrors []ConfigError

// Error has one line for each fault.
func (e ConfigErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is that of a command which the faults end.
func (ConfigErrors) ExitCode() int { return exit.Config }
