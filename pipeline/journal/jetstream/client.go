package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	// apiTime bounds the wait for an API response. The request is repeated every apiAgain, since a cluster that is
	// electing a leader drops requests.
	apiTime  = 5 * time.Second
	apiAgain = 200 * time.Millisecond
	// ackTime bounds the wait for an acknowledgement. After that, the log finds out what the stream holds.
	ackTime = 3 * time.Second
)

var (
	errNoAnswer     = errors.New("no answer for some seconds; check that the server and its JetStream run, and that relay's user may publish to $JS.API.> and subscribe to _INBOX.>")
	errLost         = errors.New("the connection was lost; relay reconnects by itself")
	errNoResponders = errors.New("JetStream does not answer; check that it is enabled for relay's account, and that the node with the stream runs")
	errDenied       = errors.New("the server denies permission")
	errNoReplica    = errors.New("the stream has one replica, and its node is away; with journal.replicas: 3 in a cluster, writing would continue")
)

// A client is the connection to the journal's server, which the caller owns. It bounds each request, and reconnects a
// connection that gets no answers.
type client struct {
	nc         *nats.Conn
	log        zerolog.Logger
	unanswered atomic.Int32  // requests in a row without an answer
	revive     chan struct{} // asks run to reconnect
	formerErrs nats.ErrHandler

	mu     sync.Mutex
	lost   chan struct{} // closed when the connection is lost
	denied error         // the server's latest refusal
	at     time.Time     // its time

	ended  context.CancelFunc
	closed chan struct{}
}

// newClient starts to watch the connection. It uses only the values of ctx.
func newClient(ctx context.Context, nc *nats.Conn, log zerolog.Logger) *client {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &client{
		nc: nc, log: log, revive: make(chan struct{}, 1), formerErrs: nc.ErrorHandler(),
		lost: make(chan struct{}), ended: cancel, closed: make(chan struct{}),
	}
	nc.SetErrorHandler(c.serverErr)
	status := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		defer close(c.closed)
		defer nc.RemoveStatusListener(status)
		c.run(ctx, status)
	}()
	return c
}

func (c *client) close() {
	c.nc.SetErrorHandler(c.formerErrs)
	c.ended()
	<-c.closed
}

// reviveWait is the shortest time between two attempts to reconnect. It doubles up to reviveMax while they are useless.
const (
	reviveWait = time.Second
	reviveMax  = 5 * time.Second
)

// run reports a lost connection to pending requests, and reconnects on request.
func (c *client) run(ctx context.Context, status <-chan nats.Status) {
	var last time.Time
	wait := reviveWait
	for {
		select {
		case <-ctx.Done():
			return
		case <-status:
			c.mu.Lock()
			close(c.lost)
			c.lost = make(chan struct{})
			c.mu.Unlock()
		case <-c.revive:
			if since := time.Since(last); since > 4*reviveMax {
				wait = reviveWait
			} else {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait - since): // at once if that has passed
				}
				wait = min(2*wait, reviveMax)
			}
			last = time.Now()
			c.unanswered.Store(0)
			c.log.Warn().Str("server", c.name()).AnErr("reason", c.refusal()).Msg("journal's server does not answer on this connection; reconnecting")
			if err := c.nc.ForceReconnect(); err != nil {
				c.log.Debug().Err(err).Msg("reconnect to the journal's server")
			}
		}
	}
}

// reconnect requests a new connection. It does not block.
func (c *client) reconnect() {
	select {
	case c.revive <- struct{}{}:
	default: // already requested
	}
}

// serverErr receives the server's asynchronous errors. A subscription for answers that the server has revoked does not
// return when it is allowed again; that takes a new connection.
func (c *client) serverErr(nc *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.mu.Lock()
		c.denied, c.at = err, time.Now()
		c.mu.Unlock()
		if text := strings.ToLower(err.Error()); strings.Contains(text, "subscription") && strings.Contains(text, strings.ToLower(c.inboxPrefix())) {
			c.reconnect()
		}
	}
	c.log.Debug().Err(err).Str("server", c.name()).Msg("connection to the journal's server")
	if c.formerErrs != nil {
		c.formerErrs(nc, sub, err)
	}
}

func (c *client) inboxPrefix() string {
	if p := c.nc.Opts.InboxPrefix; p != "" {
		return p + "."
	}
	return nats.InboxPrefix
}

// refusal returns a recent refusal of the server, or nil.
func (c *client) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) > 2*apiTime {
		return nil
	}
	return c.denied
}

// connected returns a channel that is closed when the connection is lost.
func (c *client) connected() (<-chan struct{}, error) {
	c.mu.Lock()
	lost := c.lost
	c.mu.Unlock()
	if c.nc.Status() != nats.CONNECTED {
		return nil, errLost
	}
	return lost, nil
}

// generation returns a number that changes with each new connection.
func (c *client) generation() uint64 { return c.nc.Stats().Reconnects }

// name identifies the server, without possible secrets of its URL.
func (c *client) name() string {
	if u, err := url.Parse(c.nc.ConnectedUrl()); err == nil && u.Host != "" {
		return u.Host
	}
	var hosts []string
	for _, s := range c.nc.Servers() {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}

// fail wraps an error with the operation and the server.
func (c *client) fail(what string, err error) error {
	return fmt.Errorf("%s on the journal's server %s: %w", what, c.name(), err)
}

// answered records the outcome of a request, and adds the reason to an error.
func (c *client) answered(ctx context.Context, err error) error {
	switch {
	case err == nil:
		c.unanswered.Store(0)
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		c.unanswered.Store(0)
		return errNoResponders
	case errors.Is(err, nats.ErrConnectionClosed) && !c.nc.IsClosed(), // how nats.go reports a request that a reconnect interrupted
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected):
		return errLost
	case errors.Is(err, errNoAnswer) || errors.Is(context.Cause(ctx), errNoAnswer):
		if c.unanswered.Add(1) >= 3 {
			c.reconnect()
		}
		if denied := c.refusal(); denied != nil {
			return fmt.Errorf("%w: %w", errDenied, denied)
		}
		return errNoAnswer
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return context.Cause(ctx) // errLost among others
	}
	return err
}
