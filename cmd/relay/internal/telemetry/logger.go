// Package telemetry is what relay reports to those who run it: its log, its metrics and its traces.
package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// LogOptions say how a log looks. Their words are those of the flags.
type LogOptions struct {
	Level   string // info if it is none
	Format  string // auto, console or json
	Color   string // auto, always or never
	NoColor bool   // auto means never
}

// NewLogger makes the log of the process.
func NewLogger(out io.Writer, o LogOptions) zerolog.Logger {
	level, err := zerolog.ParseLevel(o.Level)
	if err != nil {
		level = zerolog.InfoLevel // whoever took the flag refused it before
	}
	w := zerolog.SyncWriter(out)
	if o.Format == "console" || o.Format == "auto" && terminal.Is(out) {
		plain := o.Color == "never" || o.Color == "auto" && (o.NoColor || !terminal.Is(out))
		w = zerolog.ConsoleWriter{Out: w, NoColor: plain, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
