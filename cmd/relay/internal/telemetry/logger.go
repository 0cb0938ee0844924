// Package telemetry sets up what relay reports to its operators: log, metrics and traces.
package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// LogOptions configure the log. Their values are those of the flags.
type LogOptions struct {
	Level   string // a level of zerolog; info if it is invalid
	Format  string // auto, console or json
	Color   string // auto, always or never
	NoColor bool   // makes auto mean never
}

// NewLogger returns the logger of the process, which writes to out.
func NewLogger(out io.Writer, o LogOptions) zerolog.Logger {
	level, err := zerolog.ParseLevel(o.Level)
	if err != nil {
		level = zerolog.InfoLevel // the command line has been checked
	}
	w := zerolog.SyncWriter(out)
	if o.Format == "console" || o.Format == "auto" && terminal.Is(out) {
		plain := o.Color == "never" || o.Color == "auto" && (o.NoColor || !terminal.Is(out))
		w = zerolog.ConsoleWriter{Out: w, NoColor: plain, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
