package natsserver

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// logEvery is the interval between logs of the same complaint, since one client can cause thousands per second.
const logEvery = time.Minute

// maxKinds bounds the kinds of errors that are remembered.
const maxKinds = 64

// serverLog forwards the embedded server's errors to relay's log: each kind at once when it is new, then once a minute
// with a count.
type serverLog struct {
	log zerolog.Logger

	mu    sync.Mutex
	kinds map[string]*logEntry
}

// logEntry is a kind of error.
type logEntry struct {
	logged time.Time
	count  int    // since then
	last   string // its latest text
}

func newServerLog(log zerolog.Logger) *serverLog {
	return &serverLog{log: log, kinds: make(map[string]*logEntry)}
}

// Noticef implements [server.Logger], as do the others.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug().Msgf("nats-server: "+format, v...)
}

// Warnf ignores messages for the developers of the server.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Debug().Msgf("nats-server: "+format, v...) }

// Fatalf logs an error that the server does not survive.
func (l *serverLog) Fatalf(format string, v ...any) { l.log.Error().Msgf("nats-server: "+format, v...) }

// Errorf logs an error of the server or of one client.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	kind := format[strings.LastIndex(format, " - ")+1:] // without the client, which the server puts first
	if wrongLogin(text) {
		kind = server.ErrAuthentication.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.kinds[kind]
	switch {
	case c == nil && len(l.kinds) >= maxKinds:
		return
	case c == nil:
		c = new(logEntry)
		l.kinds[kind] = c
	}
	c.count++
	c.last = text
	l.write(c, time.Now())
}

func wrongLogin(text string) bool { return strings.Contains(text, server.ErrAuthentication.Error()) }

// write logs a kind of error if it is due.
func (l *serverLog) write(c *logEntry, now time.Time) {
	if c.count == 0 || now.Sub(c.logged) < logEvery {
		return
	}
	if wrongLogin(c.last) {
		from, _, _ := strings.Cut(c.last, " - ") // the rest has the name that the client chose
		l.log.Warn().Int("count", c.count).Str("last_from", from).
			Msg("overlay logins are refused: their user or password is wrong; use those of nats-overlay.json")
	} else {
		l.log.Error().Int("count", c.count).Msg("nats-server: " + c.last)
	}
	c.logged, c.count = now, 0
}

// flush logs the kinds that have waited for a minute, and drops those that did not recur.
func (l *serverLog) flush(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, c := range l.kinds {
		if c.count == 0 && now.Sub(c.logged) >= logEvery {
			delete(l.kinds, kind)
			continue
		}
		l.write(c, now)
	}
}

// Debugf does nothing.
func (l *serverLog) Debugf(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }

// Tracef does nothing.
func (l *serverLog) Tracef(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }
