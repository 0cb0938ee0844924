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
	errNoAnswer  = errors.New("no answer for some seconds; see whether the server and its JetStream run, and whether relay's user may publish to $JS.API.> and subscribe to _INBOX.>")
	errLost      = errors.New("the connection was lost; it is made again by itself")
	errNobody    = errors.New("JetStream does not answer; see whether it is enabled for relay's account, and whether the node that keeps the stream runs")
	errDenied    = errors.New("the server denies it")
	errNoReplica = errors.New("the stream has one replica, and its node is away; with journal.replicas: 3 in a cluster writing would go on")
)

// A link is the connection to the journal's server, which the caller owns. It bounds each request, and reconnects a
// connection that gets no answers.
type link struct {
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

// newLink starts to watch the connection. It uses only the values of ctx.
func newLink(ctx context.Context, nc *nats.Conn, log zerolog.Logger) *link {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &link{
		nc: nc, log: log, revive: make(chan struct{}, 1), formerErrs: nc.ErrorHandler(),
		lost: make(chan struct{}), ended: cancel, closed: make(chan struct{}),
	}
	nc.SetErrorHandler(l.serverErr)
	status := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		defer close(l.closed)
		defer nc.RemoveStatusListener(status)
		l.run(ctx, status)
	}()
	return l
}

func (l *link) close() {
	l.nc.SetErrorHandler(l.formerErrs)
	l.ended()
	<-l.closed
}

// reviveWait is the shortest time between two attempts to reconnect. It doubles up to reviveMax while they are useless.
const (
	reviveWait = time.Second
	reviveMax  = 5 * time.Second
)

// run reports a lost connection to pending requests, and reconnects on request.
func (l *link) run(ctx context.Context, status <-chan nats.Status) {
	var last time.Time
	wait := reviveWait
	for {
		select {
		case <-ctx.Done():
			return
		case <-status:
			l.mu.Lock()
			close(l.lost)
			l.lost = make(chan struct{})
			l.mu.Unlock()
		case <-l.revive:
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
			l.unanswered.Store(0)
			l.log.Warn().Str("server", l.name()).AnErr("reason", l.refusal()).Msg("journal's server does not answer on this connection; reconnecting")
			if err := l.nc.ForceReconnect(); err != nil {
				l.log.Debug().Err(err).Msg("reconnect to the journal's server")
			}
		}
	}
}

// reconnect requests a new connection. It does not block.
func (l *link) reconnect() {
	select {
	case l.revive <- struct{}{}:
	default: // already requested
	}
}

// serverErr receives the server's asynchronous errors. A subscription for answers that the server has revoked does not
// return when it is allowed again; that takes a new connection.
func (l *link) serverErr(nc *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		l.mu.Lock()
		l.denied, l.at = err, time.Now()
		l.mu.Unlock()
		if text := strings.ToLower(err.Error()); strings.Contains(text, "subscription") && strings.Contains(text, strings.ToLower(l.inboxPrefix())) {
			l.reconnect()
		}
	}
	l.log.Debug().Err(err).Str("server", l.name()).Msg("connection to the journal's server")
	if l.formerErrs != nil {
		l.formerErrs(nc, sub, err)
	}
}

func (l *link) inboxPrefix() string {
	if p := l.nc.Opts.InboxPrefix; p != "" {
		return p + "."
	}
	return nats.InboxPrefix
}

// refusal returns a recent refusal of the server, or nil.
func (l *link) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) > 2*apiTime {
		return nil
	}
	return l.denied
}

// connected returns a channel that is closed when the connection is lost.
func (l *link) connected() (<-chan struct{}, error) {
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	if l.nc.Status() != nats.CONNECTED {
		return nil, errLost
	}
	return lost, nil
}

// generation returns a number that changes with each new connection.
func (l *link) generation() uint64 { return l.nc.Stats().Reconnects }

// name identifies the server, without possible secrets of its URL.
func (l *link) name() string {
	if u, err := url.Parse(l.nc.ConnectedUrl()); err == nil && u.Host != "" {
		return u.Host
	}
	var hosts []string
	for _, s := range l.nc.Servers() {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}

// fail wraps an error with the operation and the server.
func (l *link) fail(what string, err error) error {
	return fmt.Errorf("%s on the journal's server %s: %w", what, l.name(), err)
}

// answered records the outcome of a request, and adds the reason to an error.
func (l *link) answered(ctx context.Context, err error) error {
	switch {
	case err == nil:
		l.unanswered.Store(0)
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		l.unanswered.Store(0)
		return errNobody
	case errors.Is(err, nats.ErrConnectionClosed) && !l.nc.IsClosed(), // how nats.go reports a request that a reconnect interrupted
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected):
		return errLost
	case errors.Is(err, errNoAnswer) || errors.Is(context.Cause(ctx), errNoAnswer):
		if l.unanswered.Add(1) >= 3 {
			l.reconnect()
		}
		if denied := l.refusal(); denied != nil {
			return fmt.Errorf("%w: %w", errDenied, denied)
		}
		return errNoAnswer
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return context.Cause(ctx) // errLost among others
	}
	return err
}
