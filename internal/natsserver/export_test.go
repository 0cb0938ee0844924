package natsserver

import (
	"time"

	"github.com/rs/zerolog"
)

// NewServerLog is for tests.
func NewServerLog(log zerolog.Logger) *serverLog { return newServerLog(log) } //nolint:revive // for tests of this package only

// Flush is for tests.
func (l *serverLog) Flush(now time.Time) { l.flush(now) }
