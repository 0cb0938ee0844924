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

// The connection's limits. A write or a dial holds up every other use of the connection, so both are short.
const (
	dialTimeout   = 3 * time.Second
	writeTimeout  = 5 * time.Second
	pingInterval  = 10 * time.Second // two without an answer end the connection
	reconnectWait = time.Second
)

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
	epoch  uint64                                // changes with the connection
	waits  map[*context.CancelCauseFunc]struct{} // what ends with the connection
	pub    *publisher                            // what a refusal concerns; may be nil
	health health
}

// health says whether answers come through a connection that is up.
type health struct {
	missing int       // calls in a row that got no answer
	deaf    error     // the server does not let us subscribe
	renewed time.Time // when the connection was last made again for such a reason
	quiet   bool      // it is being made again, which is not to be logged
}

// options are the connection's own; nothing is kept for later while it is down, so that Deliver fails at once and what
// it publishes is never sent twice or out of turn.
func (l *link) options(name string) []nats.Option {
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

// adopt follows a connection that was made elsewhere.
func (l *link) adopt(nc *nats.Conn) {
	nc.SetReconnectHandler(func(*nats.Conn) { l.connected() })
	nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.refused(err) })
	if nc.IsConnected() {
		l.connected()
	}
}

// connected takes note that the connection is up. The client reports that some time later than it holds, so whoever sees it first calls this.
func (l *link) connected() {
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

// ready returns the epoch of a connection that is up. One on which no answers come it has made again, which takes a moment.
func (l *link) ready(nc *nats.Conn) (uint64, error) {
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

// judge says what is wrong with a connection that is up, and whether to make it again now.
func (l *link) judge() (epoch uint64, renew bool, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch h := &l.health; {
	case h.deaf != nil:
		why = h.deaf
	case h.missing >= maxUnanswered:
		why = errNoAnswer
	case l.pub != nil && l.pub.worn():
		why = errWorn
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

// usable says that answers come and that the stream is as it should be.
func (l *link) usable() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.said == "" || l.said != saidDeaf && l.reason != nil {
		return
	}
	l.reason, l.said = nil, ""
	l.log.Info().Str("server", l.server).Msg("NATS takes events again")
}

// saidDeaf stands for what was logged of subscriptions that the server refuses: it names an inbox, which is another each time.
const saidDeaf = "deaf"

// answered and unanswered say whether the server has answered a call.
func (l *link) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.missing = 0
}

func (l *link) unanswered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.missing++
}

// attach says whose messages a refusal may concern.
func (l *link) attach(p *publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pub = p
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

// end says that the connection is about to be closed, which is no news.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// follow returns a context that ends when the connection of that epoch is lost. Call the function when it is of no more use.
func (l *link) follow(ctx context.Context, epoch uint64) (context.Context, func()) {
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

// refused takes note of an error the server reported out of turn, such as a subject the login may not use.
func (l *link) refused(err error) {
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

// refusedPublish finds the subject that the server does not let us publish on in what it says (nats-server, pubPermissionViolation).
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

// unready takes note that the stream cannot be used.
func (l *link) unready(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warn(err, err.Error())
}

// warn logs err if it is not what was said last, with the lock held.
func (l *link) warn(err error, said string) {
	if l.said != said {
		l.said = said
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
