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
func (c *connState) options(name string) []nats.Option {
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
		nats.ConnectHandler(func(*nats.Conn) { c.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.lost(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused(err) }),
	}
}

// adopt tracks a connection that was opened elsewhere.
func (c *connState) adopt(nc *nats.Conn) {
	nc.SetReconnectHandler(func(*nats.Conn) { c.connected() })
	nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) { c.lost(err) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused(err) })
	if nc.IsConnected() {
		c.connected()
	}
}

// connected records that the connection is up. The client calls its handler a moment after the fact, so whoever sees it
// first calls this.
func (c *connState) connected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up {
		return
	}
	if c.health.quiet {
		c.up, c.health.quiet = true, false
		return
	}
	c.log.Info().Str("server", c.server).Msg("connected to NATS")
	c.up, c.reason, c.said = true, nil, ""
}

// ready returns the epoch of a connection that is up. If no replies arrive on it, it replaces the connection, and
// returns an error meanwhile.
func (c *connState) ready(nc *nats.Conn) (uint64, error) {
	if !nc.IsConnected() {
		return 0, c.notConnected()
	}
	c.connected()
	epoch, renew, why := c.judge()
	if renew {
		if err := nc.ForceReconnect(); err != nil {
			return 0, fmt.Errorf("connect again to %s: %w", c.server, err)
		}
	}
	if why != nil {
		return 0, fmt.Errorf("connecting again to %s: %w", c.server, why)
	}
	return epoch, nil
}

// judge returns why a connection that is up is unusable, and whether to replace it now.
func (c *connState) judge() (epoch uint64, renew bool, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h := &c.health; {
	case h.deaf != nil:
		why = h.deaf
	case h.missing >= maxUnanswered:
		why = errNoAnswer
	case c.pub != nil && c.pub.exhausted():
		why = errExhausted
	default:
		return c.epoch, false, nil
	}
	if time.Since(c.health.renewed) < reconnectWait {
		return c.epoch, false, why
	}
	c.epoch++
	c.pub = nil // the next epoch has another
	c.health = health{renewed: time.Now(), quiet: true}
	return c.epoch, true, why
}

// usable records that replies arrive and that the stream is ready.
func (c *connState) usable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up || c.said == "" || c.said != saidDeaf && c.reason != nil {
		return
	}
	c.reason, c.said = nil, ""
	c.log.Info().Str("server", c.server).Msg("NATS accepts events again")
}

// saidDeaf stands for a refused subscription in what was logged: the text itself has an inbox that differs each time.
const saidDeaf = "deaf"

// answered records that the server has answered a call.
func (c *connState) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.missing = 0
}

// unanswered records that a call got no reply.
func (c *connState) unanswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.missing++
}

// attach sets the publisher whose messages a refusal may concern.
func (c *connState) attach(p *publisher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pub = p
}

// lost records the end of a connection or a failed attempt at a new one. It logs the first one, and again if the server
// turns out to refuse the login.
func (c *connState) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := "down"
	if refusesLogin(err) {
		state = "refused"
	}
	c.up = false
	c.epoch++
	c.health.missing, c.health.deaf = 0, nil
	for cancel := range c.waits {
		(*cancel)(errLost)
	}
	if err != nil {
		c.reason, c.health.quiet = outcome.Redact(err, c.secrets), false
	} else if c.health.quiet {
		return
	}
	if c.said != state && !c.over {
		c.said = state
		c.log.Warn().Err(c.reason).Str("server", c.server).Msg("not connected to NATS, trying again")
	}
}

// end records that the sink is closing the connection, so that its end is not logged.
func (c *connState) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// follow returns a context that ends when the connection of that epoch is lost. The caller must call the function when
// done.
func (c *connState) follow(ctx context.Context, epoch uint64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		cancel(errLost)
	}
	c.waits[&cancel] = struct{}{}
	return ctx, func() {
		cancel(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waits, &cancel)
	}
}

// refused records an asynchronous error of the server, such as a missing permission for a subject.
func (c *connState) refused(err error) {
	if refusesLogin(err) {
		c.lost(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = outcome.Redact(err, c.secrets)
	subject, publish := refusedPublish(err)
	if publish || !errors.Is(err, nats.ErrPermissionViolation) {
		c.warn(c.reason, c.reason.Error())
		if publish && c.pub != nil {
			c.pub.deny(subject, c.reason)
		}
		return
	}
	c.warn(c.reason, saidDeaf)
	c.health.deaf = c.reason
	for cancel := range c.waits {
		(*cancel)(c.reason)
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
func (c *connState) unready(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warn(err, err.Error())
}

// warn logs err unless it was logged last. The caller holds the lock.
func (c *connState) warn(err error, said string) {
	if c.said != said {
		c.said = said
		c.log.Warn().Err(err).Str("server", c.server).Msg("NATS does not accept events")
	}
}

// why returns the known reason for a failure, or nil.
func (c *connState) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

func (c *connState) notConnected() error {
	why := c.why()
	switch {
	case why == nil:
		return fmt.Errorf("not connected to %s", c.server)
	case refusesLogin(why):
		return fmt.Errorf("not connected to %s: it refuses the login, check the sink's credentials: %w", c.server, why)
	}
	return fmt.Errorf("not connected to %s: %w", c.server, why)
}

func refusesLogin(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}
