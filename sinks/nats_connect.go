package sinks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// The connection's limits. A write or a dial holds up every other use of the connection, so both are short.
const (
	natsDialTimeout   = 3 * time.Second
	natsWriteTimeout  = 5 * time.Second
	natsPingInterval  = 10 * time.Second // two without an answer end the connection
	natsReconnectWait = time.Second
)

// route is a connection and what was found out about the stream through it.
type route struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	checked bool // the stream exists as it should
	batches bool // the stream takes atomic batches
}

// connect returns a route whose stream is in order. It waits for the server, so callers must be able to leave it behind.
func (s *natsSink) connect(ctx context.Context) (route, error) {
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return route{}, context.Cause(ctx)
	}
	if s.route.nc == nil || s.route.nc.IsClosed() {
		nc, err := s.dial(ctx)
		if err != nil {
			return route{}, fmt.Errorf("connect to %s: %w", s.link.server, redact(err, s.secrets))
		}
		js, err := jetstream.New(nc)
		if err != nil {
			nc.Close()
			return route{}, fmt.Errorf("connect to %s: %w", s.link.server, err)
		}
		s.route = route{nc: nc, js: js}
	}
	if !s.route.nc.IsConnected() {
		return route{}, s.link.notConnected()
	}
	if !s.route.checked {
		ctx, cancel := s.patience(ctx)
		defer cancel()
		batches, err := ensureStream(ctx, s.route.nc, s.route.js, s.stream)
		if err != nil {
			err = s.explain("prepare stream "+s.stream.Name, cause(ctx, err))
			s.link.unready(err)
			return route{}, err
		}
		s.route.checked, s.route.batches = true, batches
	}
	return s.route, nil
}

// forget makes the next [natsSink.connect] look at the stream again.
func (s *natsSink) forget(ctx context.Context) {
	select {
	case s.gate <- struct{}{}:
		s.route.checked = false
		<-s.gate
	case <-ctx.Done():
	}
}

// link follows the state of the connection: it logs each change once and keeps the reason for errors to tell.
type link struct {
	server  string // where to, without a login
	secrets []secret.String
	log     zerolog.Logger

	mu     sync.Mutex
	up     bool
	reason error // why the connection is down, or what the server last refused
	said   string
	over   bool                                  // the sink is being closed
	waits  map[*context.CancelCauseFunc]struct{} // what ends with the connection
}

// options are the connection's own; nothing is kept for later while it is down, so that Deliver fails at once and what
// it publishes is never sent twice or out of turn.
func (l *link) options(name string) []nats.Option {
	return []nats.Option{
		nats.Name("relay sink " + name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(natsReconnectWait),
		nats.ReconnectBufSize(-1),
		nats.Timeout(natsDialTimeout),
		nats.FlusherTimeout(natsWriteTimeout),
		nats.PingInterval(natsPingInterval),
		nats.ConnectHandler(func(*nats.Conn) { l.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.refused(err) }),
	}
}

// adopt follows a connection that was made elsewhere.
func (l *link) adopt(nc *nats.Conn) {
	nc.SetReconnectHandler(func(*nats.Conn) { l.connected() })
	nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.refused(err) })
	if nc.IsConnected() {
		l.connected()
	}
}

func (l *link) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up {
		l.log.Info().Str("server", l.server).Msg("connected to NATS")
	}
	l.up, l.reason, l.said = true, nil, ""
}

// lost is called at the end of a connection and after each attempt at a new one. It logs the first, and another when
// the server turns out to refuse the login.
func (l *link) lost(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := "down"
	if refusesLogin(err) {
		state = "refused"
	}
	l.up = false
	if err != nil {
		l.reason = redact(err, l.secrets)
	}
	for cancel := range l.waits {
		(*cancel)(errLost)
	}
	if l.said != state && !l.over {
		l.said = state
		l.log.Warn().Err(l.reason).Str("server", l.server).Msg("not connected to NATS, trying again")
	}
}

// end says that the connection is about to be closed, which is no news.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// follow returns a context that ends when the connection is lost. Call the function when it is of no more use.
func (l *link) follow(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[&cancel] = struct{}{}
	return ctx, func() {
		cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waits, &cancel)
	}
}

// refused takes note of an error the server reported out of turn, such as a subject the login may not use.
func (l *link) refused(err error) {
	if refusesLogin(err) {
		l.lost(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reason = redact(err, l.secrets)
	l.warn(l.reason)
}

// unready takes note that the stream cannot be used.
func (l *link) unready(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warn(err)
}

func (l *link) warn(err error) {
	if l.said != err.Error() {
		l.said = err.Error()
		l.log.Warn().Err(err).Str("server", l.server).Msg("NATS does not take events")
	}
}

// why returns what is known to be wrong, or nil.
func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

func (l *link) notConnected() error {
	why := l.why()
	switch {
	case why == nil:
		return fmt.Errorf("not connected to %s", l.server)
	case refusesLogin(why):
		return fmt.Errorf("not connected to %s: it refuses the login, check the sink's credentials: %w", l.server, why)
	}
	return fmt.Errorf("not connected to %s: %w", l.server, why)
}

func refusesLogin(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}
