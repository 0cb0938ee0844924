package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// link is an open connection on which the server has begun an Engine.IO session.
type link struct {
	ws        *webSocket
	rev       Protocol // the revision that was dialled
	handshake handshake
	scrub     scrubber
}

// opened are the connections that one attempt has opened. The transport goes on dialling for an attempt that was given up,
// and holds a connection whose TLS handshake never ends; nothing of either may be left at the server.
type opened struct {
	mu    sync.Mutex
	conns []net.Conn
	over  bool
}

// add keeps a new connection in view, or closes it if the attempt is over.
func (o *opened) add(conn net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		_ = conn.Close()
		return
	}
	o.conns = append(o.conns, conn)
}

// close ends the attempt and all that it opened.
func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for _, conn := range o.conns {
		_ = conn.Close()
	}
}

// newHTTPClient makes the client of one attempt, which ends with ctx. It speaks HTTP/1 only, keeps no idle connection, and
// follows no redirect, which would hand the token to another host.
func (c *Client) newHTTPClient(ctx context.Context, all *opened) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy: c.cfg.Proxy,
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
				conn, err := c.dialer(ctx, network, addr) // not for the transport's context, which outlives the attempt
				if err == nil {
					all.add(conn)
				}
				return conn, err
			},
			TLSClientConfig:        c.cfg.TLS.Clone(),
			Protocols:              protocols,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial asks for a fresh query, opens a WebSocket with the given revision, and waits for the handshake. An error is a
// [fault], or what Query returned if that is permanent.
func (c *Client) dial(ctx context.Context, rev Protocol) (*link, error) {
	if err := c.heldBack(); err != nil {
		return nil, err
	}
	query := maps.Clone(c.url.Query())
	if c.cfg.Query != nil {
		fresh, err := c.cfg.Query(ctx)
		if err != nil && (permanent(err) || ctx.Err() != nil) {
			return nil, err
		}
		if err != nil {
			return nil, &fault{kindQuery, fmt.Errorf("query for %s: %w", c.url.Host, err)}
		}
		maps.Copy(query, fresh)
		if err := c.heldBack(); err != nil { // another client was told so, while a token was waited for
			return nil, err
		}
	}
	wire := maps.Clone(query)
	wire.Set("EIO", rev.String())
	wire.Set("transport", "websocket")
	target := *c.url
	target.RawQuery = wire.Encode()
	scrub := newScrubber(target.RawQuery, query)

	conn, err := c.upgrade(ctx, &target, rev, scrub)
	if err != nil {
		return nil, err
	}
	ws := newWebSocket(conn)
	hs, err := c.readHandshake(ctx, ws)
	if err != nil {
		ws.close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
			&handshakeError{rev, scrub.root(err)})}
	}
	return &link{ws, rev, hs, scrub}, nil
}

// upgrade opens the WebSocket. An attempt that fails leaves no connection behind.
func (c *Client) upgrade(ctx context.Context, target *url.URL, rev Protocol, scrub scrubber) (_ *websocket.Conn, err error) {
	limit := c.cfg.HandshakeTimeout
	dialCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	all := new(opened)
	defer func() {
		if err != nil {
			all.close()
		}
	}()
	ws, resp, err := websocket.Dial(dialCtx, target.String(), &websocket.DialOptions{
		HTTPClient: c.newHTTPClient(dialCtx, all), HTTPHeader: c.header(),
	})
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	switch {
	case err == nil:
		return ws, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case resp == nil || resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, networkFault(dialCtx, c.url.Host+c.through(dialCtx), err, scrub)
	case resp.StatusCode == http.StatusBadRequest:
		return nil, &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
			&handshakeError{rev, describe(resp, scrub)})}
	}
	return nil, &fault{kind(resp.Status), fmt.Errorf("connect to %s: %s", c.url.Host, describe(resp, scrub)+c.answered(resp, time.Now()))}
}

// through names the proxy on the way to the server, if there is one.
func (c *Client) through(ctx context.Context) string {
	bare := url.URL{Scheme: c.url.Scheme, Host: c.url.Host}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), http.NoBody)
	if err != nil {
		return ""
	}
	proxy, err := c.cfg.Proxy(req)
	if err != nil || proxy == nil {
		return ""
	}
	return " through the proxy " + proxy.Host
}

// header is what every request carries.
func (c *Client) header() http.Header {
	header := make(http.Header)
	if c.cfg.UserAgent != "" {
		header.Set("User-Agent", c.cfg.UserAgent)
	}
	return header
}

// describe says what a server answered instead of upgrading, and what to do about it.
func describe(resp *http.Response, scrub scrubber) string {
	text := fmt.Sprintf("HTTP %d", resp.StatusCode)
	if resp.Body != nil {
		var reason struct {
			Message string `json:"message"`
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
		if err == nil && json.Unmarshal(body, &reason) == nil && reason.Message != "" {
			text += fmt.Sprintf(" (%q)", scrub.clean(reason.Message))
		}
	}
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return text + ": redirects are not followed, set the URL to the final one"
	case code == http.StatusNotFound:
		return text + ": no Socket.IO server at this path, check the URL"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return text + ": the server refuses this client, check its authorization"
	case code == http.StatusOK:
		return text + ": the server or a proxy before it does not upgrade to WebSocket"
	}
	return text
}
