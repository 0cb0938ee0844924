// Package socket is relay's Socket.IO client. It keeps one connection to a server of any version and delivers its
// events in order, without loss while connected: a slow handler makes the server wait. It speaks Engine.IO 3 (Socket.IO
// 1.x and 2.x) and 4 (3.x and later), and detects which one a server speaks. It uses WebSocket, or HTTP long-polling
// where the network blocks WebSocket. It reconnects until it is stopped.
//
// It does not depend on accounts, tokens or treats: [Config.Query] provides a fresh query, and events are JSON.
// No value of the query appears in a log or an error.
//
// Start reading at [Client.Run]. The file reconnect.go has the loop of attempts, dial.go one attempt, session.go one
// connection, and engine.go the adapter to github.com/zishang520/socket.io-client-go.
//
// Importing that library starts two goroutines that never end, and makes the process ignore its first SIGINT, SIGTERM
// and SIGQUIT, because the library catches them. A program that imports this package must call [os/signal.Reset] at the
// start of main, and then ask for the signals it wants.
package socket

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/proxy"
)

// The defaults of [Config].
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultKeepalive        = 20 * time.Second
)

const (
	firstUpgradeWait   = time.Minute
	longestUpgradeWait = 30 * time.Minute
)

// Config configures a [Client]. Only URL is required.
type Config struct {
	// URL is the server's http or https URL. Its path is that of the Socket.IO endpoint, by default /socket.io/; it is
	// not a namespace. A query is sent with every connection, and kept as secret as the result of Query.
	URL string
	// Protocol is the Engine.IO revision. Auto detects it, which can take a second dial, and remembers it while it
	// works.
	Protocol Protocol
	// Namespaces are joined in addition to "/".
	Namespaces []string
	// Query returns what to add to the query string. It is called before every dial, including the second one of a
	// detection, so it can return a single-use token. Its error is retried like that of a dial, unless it has a method
	// Permanent() bool that returns true: then Run returns it. Its values never appear in logs and errors; Query itself
	// must keep them out of its own error.
	Query func(ctx context.Context) (url.Values, error)
	// Dial configures the connections.
	Dial Dialing
	// Keepalive is the longest time without traffic: after it the client sends a ping of Engine.IO 3, or a WebSocket
	// ping with revision 4. Proxies cut idle connections. Zero: 20 seconds. Negative: only the pings of the protocol.
	Keepalive time.Duration
	// UpgradeAfter is about how long after the start of a polling session WebSocket is tried again. The delay then
	// doubles, up to half an hour. Zero: a minute.
	UpgradeAfter time.Duration
	// BufferBytes bounds the events that are received and not handled yet. Zero: 4 MiB.
	BufferBytes int
	// DrainTimeout bounds how long Run continues to deliver received events after its context has ended. Then the
	// handler's context ends. Zero: 5 seconds.
	DrainTimeout time.Duration
	// OnSkip is called for each message that is skipped because it is larger than 1 MiB. A message larger than 16 MiB
	// ends the connection. OnSkip must not block.
	OnSkip func()
	// Log gets changes: connected, lost, a new reason for a failure. Single attempts are debug messages.
	Log zerolog.Logger
	// OnState is called with each change of state, sequentially, from the goroutine of Run. It must not block.
	OnState func(State)
}

// Dialing configures how a [Client] connects.
type Dialing struct {
	// TLS is for https. Nil: the system's roots.
	TLS *tls.Config
	// Proxy returns the proxy for a request, as in [http.Transport]. Nil: as HTTPS_PROXY, ALL_PROXY and NO_PROXY say.
	Proxy func(*http.Request) (*url.URL, error)
	// HandshakeTimeout bounds the dial, from DNS to the upgrade, and then the wait for the server's handshake. Zero: 10
	// seconds.
	HandshakeTimeout time.Duration
	// PollAtOnce tries long-polling after the first failure that may be caused by the network or the server, such as a
	// timeout. Otherwise it takes two in a row, since each attempt costs what Query returns.
	PollAtOnce bool
	// UserAgent is sent with every request. Empty: Go's default.
	UserAgent string
	// RetryDelays stores the delays that servers asked for with Retry-After. The clients of a process should share it. Nil: a
	// store of its own.
	RetryDelays *RetryDelays
}

// Event is an event of the server.
type Event struct {
	Namespace string
	Name      string
	Args      []json.RawMessage // binary arguments are base64 strings, as encoding/json decodes them into []byte
	Received  time.Time
}

// Handler handles one event. Its context outlives that of Run by at most [Config.DrainTimeout]. When it ends, the
// handler must return, since Run waits for it.
type Handler func(ctx context.Context, ev Event) error

// Client keeps a connection to one server. It may run once at a time.
type Client struct {
	cfg     Config
	url     *url.URL
	dialer  func(ctx context.Context, network, addr string) (net.Conn, error)
	running atomic.Bool
	known   Protocol // the detected revision
	detour  pollingFallback
}

// New checks cfg and returns a Client. It does nothing before [Client.Run].
func New(cfg Config) (*Client, error) {
	cfg.BufferBytes = cmp.Or(cfg.BufferBytes, 4<<20)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 5*time.Second)
	if cfg.Dial.Proxy == nil {
		cfg.Dial.Proxy = proxy.FromEnvironment
	}
	cfg.Keepalive = cmp.Or(cfg.Keepalive, DefaultKeepalive)
	cfg.UpgradeAfter = cmp.Or(cfg.UpgradeAfter, firstUpgradeWait)
	cfg.Dial.RetryDelays = cmp.Or(cfg.Dial.RetryDelays, new(RetryDelays))
	cfg.Dial.HandshakeTimeout = cmp.Or(cfg.Dial.HandshakeTimeout, DefaultHandshakeTimeout)
	if cfg.Dial.TLS == nil {
		cfg.Dial.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, errors.New("socket url: not a URL") // the error of net/url would show the URL
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("socket url: want http://host or https://host")
	case u.Host == "":
		return nil, errors.New("socket url: no host")
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("socket url of %s: remove the user and the fragment", u.Host)
	case cfg.Protocol != Auto && cfg.Protocol != EIO3 && cfg.Protocol != EIO4:
		return nil, fmt.Errorf("socket protocol %d: want auto, 3 or 4", cfg.Protocol)
	case cfg.BufferBytes < 0 || cfg.DrainTimeout < 0 || cfg.Dial.HandshakeTimeout < 0 || cfg.UpgradeAfter < 0:
		return nil, errors.New("socket config: a negative buffer or timeout")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/socket.io"
	}
	u = u.JoinPath("/") // no server accepts the path without its final slash
	for i, namespace := range cfg.Namespaces {
		if len(namespace) < 2 || namespace[0] != '/' || strings.ContainsAny(namespace, ",?") ||
			slices.Contains(cfg.Namespaces[:i], namespace) {
			return nil, fmt.Errorf("socket namespace %q: want /name, each once, without commas and question marks", namespace)
		}
	}
	cfg.Namespaces = append([]string{"/"}, cfg.Namespaces...)
	return &Client{cfg: cfg, url: u, dialer: new(net.Dialer).DialContext}, nil
}

// Run connects, and reconnects forever. It calls h for each event of every namespace, one at a time, in the order of
// the wire, including events before the server has accepted the connection. It returns nil after ctx ends; the error of
// h, which is not called again; or a permanent error of [Config.Query]. When it returns, the connection is closed, no
// goroutine is left, and h has handled everything received, unless that took longer than [Config.DrainTimeout] or
// failed.
//
// While h is slow, reading continues until [Config.BufferBytes] are buffered; then the server has to wait. A Client may
// run once at a time.
func (c *Client) Run(ctx context.Context, h Handler) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("run socket: it is running")
	}
	defer c.running.Store(false)

	events := newQueue(c.cfg.BufferBytes)
	connected, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	handling, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)

	var handler sync.WaitGroup
	var handlerErr error
	handler.Go(func() {
		if handlerErr = deliver(handling, events, h); handlerErr != nil {
			stop(handlerErr)
		}
	})
	r := &reconnect{client: c, events: events, log: c.cfg.Log.With().Str("server", c.url.Host).Logger()}
	err := r.loop(connected)
	events.end()
	limit := time.AfterFunc(c.cfg.DrainTimeout, func() { abandon(errDrain) })
	handler.Wait()
	limit.Stop()

	if left := events.left(); left > 0 && handlerErr == nil {
		r.log.Warn().Int("events", left).Msg("stopped before these were handled")
	}
	if handlerErr != nil {
		err = handlerErr
	}
	r.enter(State{Phase: Stopped, Err: err})
	return err
}

var errDrain = errors.New("time to handle the last events is up")

// deliver calls h for each event until there are no more, h fails, or ctx ends.
func deliver(ctx context.Context, events *queue, h Handler) error {
	var batch []item
	for {
		batch = events.take(ctx, batch)
		if batch == nil {
			return nil
		}
		for i, it := range batch {
			err := h(ctx, it.event)
			if err == nil {
				events.done(it)
			}
			select {
			case <-ctx.Done(): // the handler was told to stop
				return nil
			default:
			}
			if err != nil {
				return err
			}
			batch[i] = item{}
		}
		if cap(batch) > 1024 {
			batch = nil // free the buffer of a burst
		}
	}
}
