package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Timeouts of the connection. A write or a dial blocks every other use of the connection, so both are short.
const (
	dialTimeout   = 3 * time.Second
	writeTimeout  = 5 * time.Second
	pingInterval  = 10 * time.Second // two unanswered pings end the connection
	reconnectWait = time.Second
)

// connState tracks the state of the connection. It logs each change once and keeps the reason for errors.
type connState struct {
	server  string // URLs without logins
	secrets []secret.String
	log     zerolog.Logger

	mu     sync.Mutex
	up     bool
	reason error                                 // why the connection is down, or the last refusal of the server
	said   string                                // what was logged last
	over   bool                                  // the sink is being closed
	epoch  uint64                                // changes with the connection
	waits  map[*context.CancelCauseFunc]struct{} // contexts that end with the connection
	pub    *publisher                            // whose messages a refusal concerns; may be nil
	health health
}

// health is whether replies arrive on a connection that is up.
type health struct {
	missing int       // consecutive calls without a reply
	deaf    error     // why the server refuses our subscription; nil if it does not
	renewed time.Time // when the connection was last replaced for one of these reasons
	quiet   bool      // the connection is being replaced; do not log that
}

// options returns the options of the connection. The client buffers nothing while it is down, so that Deliver fails at
// once and no message is sent twice or out of order.
func (l *connState) options(name string) []nats.Option {
	return []nats.Option{
		nats.Name("relay sink " + name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),
		nats.Timeout(dialTimeout),
		nats.FlusherTimeout(writeTimeout),
		nats.PingInterval(pingInterval),
		nats.ConnectHandler(func(*nats.Conn) { l.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.refused(err) }),
	}
}

// adopt tracks a connection that was opened elsewhere.
func (l *connState) adopt(nc *nats.Conn) {
	nc.SetReconnectHandler(func(*nats.Conn) { l.connected() })
	nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.refused(err) })
	if nc.IsConnected() {
		l.connected()
	}
}

// connected records that the connection is up. The client calls its handler a moment after the fact, so whoever sees it
// first calls this.
func (l *connState) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up {
		return
	}
	if l.health.quiet {
		l.up, l.health.quiet = true, false
		return
	}
	l.log.Info().Str("server", l.server).Msg("connected to NATS")
	l.up, l.reason, l.said = true, nil, ""
}

// ready returns the epoch of a connection that is up. If no replies arrive on it, it replaces the connection, and
// returns an error meanwhile.
func (l *connState) ready(nc *nats.Conn) (uint64, error) {
	if !nc.IsConnected() {
		return 0, l.notConnected()
	}
	l.connected()
	epoch, renew, why := l.judge()
	if renew {
		if err := nc.ForceReconnect(); err != nil {
			return 0, fmt.Errorf("connect again to %s: %w", l.server, err)
		}
	}
	if why != nil {
		return 0, fmt.Errorf("connecting again to %s: %w", l.server, why)
	}
	return epoch, nil
}

// judge returns why a connection that is up is unusable, and whether to replace it now.
func (l *connState) judge() (epoch uint64, renew bool, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch h := &l.health; {
	case h.deaf != nil:
		why = h.deaf
	case h.missing >= maxUnanswered:
		why = errNoAnswer
	case l.pub != nil && l.pub.exhausted():
		why = errExhausted
	default:
		return l.epoch, false, nil
	}
	if time.Since(l.health.renewed) < reconnectWait {
		return l.epoch, false, why
	}
	l.epoch++
	l.pub = nil // the next epoch has another
	l.health = health{renewed: time.Now(), quiet: true}
	return l.epoch, true, why
}

// usable records that replies arrive and that the stream is ready.
func (l *connState) usable() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.said == "" || l.said != saidDeaf && l.reason != nil {
		return
	}
	l.reason, l.said = nil, ""
	l.log.Info().Str("server", l.server).Msg("NATS accepts events again")
}

// saidDeaf stands for a refused subscription in what was logged: the text itself has an inbox that differs each time.
const saidDeaf = "deaf"

// answered records that the server has answered a call.
func (l *connState) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.missing = 0
}

// unanswered records that a call got no reply.
func (l *connState) unanswered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.missing++
}

// attach sets the publisher whose messages a refusal may concern.
func (l *connState) attach(p *publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pub = p
}

// lost records the end of a connection or a failed attempt at a new one. It logs the first one, and again if the server
// turns out to refuse the login.
func (l *connState) lost(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := "down"
	if refusesLogin(err) {
		state = "refused"
	}
	l.up = false
	l.epoch++
	l.health.missing, l.health.deaf = 0, nil
	for cancel := range l.waits {
		(*cancel)(errLost)
	}
	if err != nil {
		l.reason, l.health.quiet = outcome.Redact(err, l.secrets), false
	} else if l.health.quiet {
		return
	}
	if l.said != state && !l.over {
		l.said = state
		l.log.Warn().Err(l.reason).Str("server", l.server).Msg("not connected to NATS, trying again")
	}
}

// end records that the sink is closing the connection, so that its end is not logged.
func (l *connState) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// follow returns a context that ends when the connection of that epoch is lost. The caller must call the function when
// done.
func (l *connState) follow(ctx context.Context, epoch uint64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != l.epoch {
		cancel(errLost)
	}
	l.waits[&cancel] = struct{}{}
	return ctx, func() {
		cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waits, &cancel)
	}
}

// refused records an asynchronous error of the server, such as a missing permission for a subject.
func (l *connState) refused(err error) {
	if refusesLogin(err) {
		l.lost(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reason = outcome.Redact(err, l.secrets)
	subject, publish := refusedPublish(err)
	if publish || !errors.Is(err, nats.ErrPermissionViolation) {
		l.warn(l.reason, l.reason.Error())
		if publish && l.pub != nil {
			l.pub.deny(subject, l.reason)
		}
		return
	}
	l.warn(l.reason, saidDeaf)
	l.health.deaf = l.reason
	for cancel := range l.waits {
		(*cancel)(l.reason)
	}
}

// refusedPublish returns the subject that the server does not allow us to publish to, from its error text (nats-server,
// pubPermissionViolation).
func refusedPublish(err error) (subject string, ok bool) {
	_, quoted, ok := strings.Cut(err.Error(), "Violation for Publish to ")
	if !ok {
		return "", false
	}
	if quoted, err = strconv.QuotedPrefix(quoted); err == nil {
		subject, err = strconv.Unquote(quoted)
	}
	return subject, err == nil
}

// unready records that the stream cannot be used.
func (l *connState) unready(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warn(err, err.Error())
}

// warn logs err unless it was logged last. The caller holds the lock.
func (l *connState) warn(err error, said string) {
	if l.said != said {
		l.said = said
		l.log.Warn().Err(err).Str("server", l.server).Msg("NATS does not accept events")
	}
}

// why returns the known reason for a failure, or nil.
func (l *connState) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

func (l *connState) notConnected() error {
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
