package natsserver

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// sayEvery is how often a complaint of the embedded server is logged, for one client can cause a thousand a second.
const sayEvery = time.Minute

// maxKinds bounds what is remembered of complaints.
const maxKinds = 64

// serverLog hands the embedded server's complaints to relay's log: each kind when it comes first, and then once a minute with how
// often it came.
type serverLog struct {
	log zerolog.Logger

	mu    sync.Mutex
	kinds map[string]*complaint
}

// complaint is a kind of it.
type complaint struct {
	said  time.Time
	count int    // since then
	last  string // what it said last
}

func newServerLog(log zerolog.Logger) *serverLog {
	return &serverLog{log: log, kinds: make(map[string]*complaint)}
}

// Noticef implements [server.Logger], as do the others.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug().Msgf("nats-server: "+format, v...)
}

// Warnf is for the developers of the server.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Debug().Msgf("nats-server: "+format, v...) }

// Fatalf is what the server does not go on after.
func (l *serverLog) Fatalf(format string, v ...any) { l.log.Error().Msgf("nats-server: "+format, v...) }

// Errorf is about the server, or about one client.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	kind := format[strings.LastIndex(format, " - ")+1:] // without the client, which the server puts before it
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
		c = new(complaint)
		l.kinds[kind] = c
	}
	c.count++
	c.last = text
	l.say(c, time.Now())
}

func wrongLogin(text string) bool { return strings.Contains(text, server.ErrAuthentication.Error()) }

// say logs a kind of complaint if it is time.
func (l *serverLog) say(c *complaint, now time.Time) {
	if c.count == 0 || now.Sub(c.said) < sayEvery {
		return
	}
	if wrongLogin(c.last) {
		from, _, _ := strings.Cut(c.last, " - ") // the rest has what the client says its name is
		l.log.Warn().Int("count", c.count).Str("last_from", from).
			Msg("overlay logins are refused: their user or password is wrong; they want those of nats-overlay.json")
	} else {
		l.log.Error().Int("count", c.count).Msg("nats-server: " + c.last)
	}
	c.said, c.count = now, 0
}

// flush logs what has waited for a minute, and forgets what did not come again.
func (l *serverLog) flush(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, c := range l.kinds {
		if c.count == 0 && now.Sub(c.said) >= sayEvery {
			delete(l.kinds, kind)
			continue
		}
		l.say(c, now)
	}
}

// Debugf is for those who trace.
func (l *serverLog) Debugf(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }

// Tracef likewise.
func (l *serverLog) Tracef(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }
