// Package state has what all commands share: the streams of the process, the global flags, and access to the configuration, the data folder,
// the log and the local API. It is created once, by the root command, and handed to every other command.
package state

import (
	"io"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/telemetry"
)

// Streams are the standard streams and the environment of the process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) (string, bool)
}

// State is the state of one process. It is not safe for concurrent use while flags are being parsed.
type State struct {
	Streams
	ConfigPath string // as given with --config; empty if it was not given
	DataDir    string // as given with --data-dir or RELAY_DATA_DIR; empty if it was not given
	LogLevel   string
	LogFormat  string
	Color      string
	Simulation string // the data folder of a simulation; empty for real accounts
}

// CheckFlags validates the global flags. The error is one of usage.
func (s *State) CheckFlags() error {
	if _, err := zerolog.ParseLevel(s.LogLevel); err != nil || s.LogLevel == "" {
		return exit.Usagef("--log-level %q: want trace, debug, info, warn or error", s.LogLevel)
	}
	switch s.LogFormat {
	case "auto", "console", "json":
	default:
		return exit.Usagef("--log-format %q: want auto, console or json", s.LogFormat)
	}
	switch s.Color {
	case "auto", "always", "never":
	default:
		return exit.Usagef("--color %q: want auto, always or never", s.Color)
	}
	return nil
}

// Logger returns a logger that writes to standard error, with the level, format and color of the global flags.
func (s *State) Logger() zerolog.Logger {
	noColor, _ := s.Getenv("NO_COLOR")
	return telemetry.NewLogger(s.Err, telemetry.LogOptions{Level: s.LogLevel, Format: s.LogFormat, Color: s.Color, NoColor: noColor != ""})
}
