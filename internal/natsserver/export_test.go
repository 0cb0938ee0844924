package natsserver

import (
	"time"

	"github.com/rs/zerolog"
)

// NewServerLog is for tests.
func NewServerLog(log zerolog.Logger) *serverLog { return newServerLog(log) }

// Flush is for tests.
func (l *serverLog) Flush(now time.Time) { l.flush(now) }

// OverlayAccounts is how many accounts the server has made for overlays.
func (s *Server) OverlayAccounts() int {
	s.auth.mu.Lock()
	defer s.auth.mu.Unlock()
	return len(s.auth.accounts)
}
