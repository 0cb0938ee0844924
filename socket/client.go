// Package socket is relay's Socket.IO client: it keeps one connection to a server of any version, and hands over its
// events in order. It speaks Engine.IO 3 (Socket.IO 1.x and 2.x) and 4 (3.x and later), over WebSocket only, and finds
// out by itself which of the two a server wants.
//
// Beneath it is github.com/zishang520/socket.io-client-go. Importing that package starts two goroutines that never end,
// and makes the process ignore its first SIGINT, SIGTERM and SIGQUIT: it catches them for itself. A program that
// imports this one must call [os/signal.Reset] at the start of main, and then ask for the signals it wants.
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
)

// Config is what a [Client] needs. Only URL is required.
type Config struct {
	// URL is the server's, http or https. Its path is that of the Socket.IO endpoint: /socket.io/ if it has none. It
	// is not a namespace. A query in it is sent with every connection, and kept as secret as what Query returns.
	URL string
	// Protocol is the Engine.IO revision to speak. With Auto the revision is detected, which can take a second dial,
	// and remembered for as long as it works.
	Protocol Protocol
	// Namespaces are joined besides "/".
	Namespaces []string
	// Query returns what to add to the query string. It is asked before every dial, the second one of a detection
	// included, so that it can return a token that serves once. Its error is retried like that of a dial, unless it
	// has a method Permanent() bool that returns true: then Run returns it. Its values are kept out of logs and
	// errors; keeping them out of its own error is Query's duty.
	Query func(ctx context.Context) (url.Values, error)
	// TLS is for https. Nil: the system's roots.
	TLS *tls.Config
	// BufferBytes bounds the events that were received and not yet handled. Zero: 4 MiB.
	BufferBytes int
	// DrainTimeout bounds how long after the end of its context Run goes on handing over what was received, and when
	// the handler's context ends. Zero: 5 seconds.
	DrainTimeout time.Duration
	// Log is told of changes: connected, lost, a new reason why it cannot connect. Single attempts are debug messages.
	Log zerolog.Logger
	// OnState is called with each change of state, one call at a time, by the goroutine of Run. It must not block.
	OnState func(State)
}

// Event is one event of the server.
type Event struct {
	Namespace string
	Name      string
	Args      []json.RawMessage // binary arguments are base64 strings, as encoding/json decodes them into []byte
	Received  time.Time
}

// Handler takes one event. Its context outlives that of Run by at most [Config.DrainTimeout]; when it ends, the handler
// must return, for Run waits for it.
type Handler func(ctx context.Context, ev Event) error

// Client keeps a connection to one server.
type Client struct {
	cfg     Config
	url     *url.URL
	dialer  func(ctx context.Context, network, addr string) (net.Conn, error)
	http    *http.Client // of the present Run
	running atomic.Bool
	known   Protocol // the detected revision
}

// New checks cfg and makes a Client, which does nothing before [Client.Run].
func New(cfg Config) (*Client, error) {
	cfg.BufferBytes = cmp.Or(cfg.BufferBytes, 4<<20)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, 5*time.Second)
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, errors.New("socket url: not a URL") // the error of net/url would show it
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("socket url: want http://host or https://host")
	case u.Host == "":
		return nil, errors.New("socket url: no host")
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("socket url of %s: take the user and the fragment out", u.Host)
	case cfg.Protocol != Auto && cfg.Protocol != EIO3 && cfg.Protocol != EIO4:
		return nil, fmt.Errorf("socket protocol %d: want auto, 3 or 4", cfg.Protocol)
	case cfg.BufferBytes < 0 || cfg.DrainTimeout < 0:
		return nil, errors.New("socket config: a negative buffer or drain timeout")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/socket.io"
	}
	u = u.JoinPath("/") // without its last slash no server knows the path
	for i, namespace := range cfg.Namespaces {
		if len(namespace) < 2 || namespace[0] != '/' || strings.ContainsAny(namespace, ",?") ||
			slices.Contains(cfg.Namespaces[:i], namespace) {
			return nil, fmt.Errorf("socket namespace %q: want /name, each once, without commas and question marks", namespace)
		}
	}
	cfg.Namespaces = append([]string{"/"}, cfg.Namespaces...)
	return &Client{cfg: cfg, url: u, dialer: new(net.Dialer).DialContext}, nil
}

// Run connects, and reconnects for ever, handing each event of every namespace to h: one at a time, in the order of
// the wire, beginning with what may come before the server has accepted the connection. It returns nil after ctx ends;
// the error of h, after which h is called no more; or a permanent error of [Config.Query]. When it returns, the
// connection is closed, no goroutine is left, and h has been given everything that was received, unless it took longer
// than [Config.DrainTimeout] or failed.
//
// While h is slow, reading goes on until [Config.BufferBytes] are waiting; then the server has to wait.
// A Client runs once at a time.
func (c *Client) Run(ctx context.Context, h Handler) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("run socket: it is running")
	}
	defer c.running.Store(false)
	c.http = newHTTPClient(c.cfg, c.dialer)
	defer c.http.CloseIdleConnections()

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

// deliver hands events to h until there are no more, h fails, or ctx ends.
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
			case <-ctx.Done(): // h was told to give up
				return nil
			default:
			}
			if err != nil {
				return err
			}
			batch[i] = item{}
		}
		if cap(batch) > 1024 {
			batch = nil // room that only a burst needed
		}
	}
}
