package daemon

import (
	"context"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// httpLimits limit the resources that clients of the HTTP server can hold.
type httpLimits struct {
	header, read, write, idle time.Duration
	conns                     int
}

func defaultHTTPLimits() httpLimits {
	return httpLimits{header: 10 * time.Second, read: 30 * time.Second, write: 30 * time.Second, idle: time.Minute, conns: 2048}
}

// server returns a server with these limits.
func (l httpLimits) server(handler http.Handler, log zerolog.Logger) *http.Server {
	guard := &connGuard{limit: l.conns, log: log, conns: make(map[net.Conn]*guarded)}
	return &http.Server{
		Handler: guard.watch(handler), MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: l.header, ReadTimeout: l.read, WriteTimeout: l.write, IdleTimeout: l.idle,
		ConnState:   guard.observe,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:    stdlog.New(httpLog{log}, "", 0),
	}
}

// connGuard limits the connections of a server. Above the limit it closes the one that has been idle for the longest, so that a client that leaves
// connections open does not lock out others.
type connGuard struct {
	limit int
	log   zerolog.Logger

	mu     sync.Mutex
	conns  map[net.Conn]*guarded
	logged time.Time // when the limit was last logged
}

// guarded is the state of an open connection.
type guarded struct {
	since   time.Time // when serving last changed
	serving bool      // a request is being answered
}

type connKey struct{}

// observe implements the ConnState of [http.Server].
func (g *connGuard) observe(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		g.conns[c] = &guarded{since: time.Now()}
		if len(g.conns) > g.limit {
			g.closeOldest(c)
		}
	case http.StateClosed, http.StateHijacked:
		delete(g.conns, c)
	case http.StateIdle:
		g.set(c, false)
	case http.StateActive: // one byte suffices for that; watch sees complete requests
	}
}

// closeOldest closes the connection that has been idle for the longest, which may be the latest.
func (g *connGuard) closeOldest(latest net.Conn) {
	oldest := latest
	for c, held := range g.conns {
		if !held.serving && held.since.Before(g.conns[oldest].since) {
			oldest = c
		}
	}
	delete(g.conns, oldest)
	_ = oldest.Close() // its goroutine ends
	if time.Since(g.logged) >= time.Minute {
		g.logged = time.Now()
		g.log.Warn().Int("limit", g.limit).Str("from", oldest.RemoteAddr().String()).
			Msg("http.listen has too many connections: those without a request are closed; let only those who need it reach the port")
	}
}

func (g *connGuard) set(c net.Conn, serving bool) {
	if held, ok := g.conns[c]; ok {
		*held = guarded{time.Now(), serving}
	}
}

// watch marks connections that have a request.
func (g *connGuard) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			g.mu.Lock()
			g.set(c, true)
			g.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// httpLog logs errors of single connections.
type httpLog struct{ log zerolog.Logger }

func (l httpLog) Write(p []byte) (int, error) {
	l.log.Debug().Msg("http: " + strings.TrimSpace(string(p)))
	return len(p), nil
}
