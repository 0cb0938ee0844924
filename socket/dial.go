package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

const (
	dialTimeout      = 5 * time.Second // from DNS to the answer of the upgrade
	handshakeTimeout = 5 * time.Second // from there to the Engine.IO handshake
	writeTimeout     = 10 * time.Second
	readLimit        = 1 << 20 // bytes of one WebSocket message
)

var (
	errDialTimeout      = fmt.Errorf("no answer within %v", dialTimeout)
	errHandshakeTimeout = fmt.Errorf("silence for %v", handshakeTimeout)
	errWriteTimeout     = fmt.Errorf("write took longer than %v", writeTimeout)
)

// link is an open connection on which the server has begun an Engine.IO session.
type link struct {
	ws        *websocket.Conn
	rev       Protocol // the revision that was dialled
	handshake handshake
	scrub     scrubber
}

// handshake is what the server says of the session. (Engine.IO protocol, "Handshake".)
type handshake struct {
	sid          string
	pingInterval time.Duration
	pingTimeout  time.Duration
}

// newHTTPClient makes the client that upgrades. It speaks HTTP/1 only, keeps no idle connection, and follows no
// redirect, which would hand the token to another host.
func newHTTPClient(cfg Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dial,
			TLSClientConfig:        cfg.TLS.Clone(),
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
	}
	wire := maps.Clone(query)
	wire.Set("EIO", rev.String())
	wire.Set("transport", "websocket")
	target := *c.url
	target.RawQuery = wire.Encode()
	scrub := newScrubber(target.RawQuery, query)

	ws, err := c.upgrade(ctx, &target, rev, scrub)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(readLimit)
	hs, err := readHandshake(ctx, ws)
	if err != nil {
		_ = ws.CloseNow()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
			&handshakeError{rev, scrub.root(err)})}
	}
	return &link{ws, rev, hs, scrub}, nil
}

// upgrade opens the WebSocket.
func (c *Client) upgrade(ctx context.Context, target *url.URL, rev Protocol, scrub scrubber) (*websocket.Conn, error) {
	dialCtx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errDialTimeout)
	defer cancel()
	ws, resp, err := websocket.Dial(dialCtx, target.String(), &websocket.DialOptions{HTTPClient: c.http})
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	switch {
	case err == nil:
		return ws, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case resp == nil || resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, networkFault(dialCtx, c.url.Host, err, scrub)
	case resp.StatusCode == http.StatusBadRequest:
		return nil, &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
			&handshakeError{rev, describe(resp, scrub)})}
	}
	return nil, &fault{kind(resp.Status), fmt.Errorf("connect to %s: %s", c.url.Host, describe(resp, scrub))}
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

// readHandshake waits for the first frame, which must be the handshake.
func readHandshake(ctx context.Context, ws *websocket.Conn) (handshake, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, errHandshakeTimeout)
	defer cancel()
	typ, msg, err := ws.Read(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return handshake{}, context.Cause(ctx)
		}
		return handshake{}, err
	}
	f := parseFrame(EIO3, typ == websocket.MessageBinary, msg)
	if f.kind != frameOpen {
		return handshake{}, errors.New("the first frame is another")
	}
	return parseHandshake(f.data)
}

// parseHandshake decodes the payload of an open packet. Intervals are held between 100 ms and an hour, so that no
// server makes us flood it, or wait for ever.
func parseHandshake(data []byte) (handshake, error) {
	var raw struct {
		SID          string `json:"sid"`
		PingInterval int64  `json:"pingInterval"` // milliseconds, as is the next
		PingTimeout  int64  `json:"pingTimeout"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return handshake{}, errors.New("the handshake is not JSON")
	}
	if raw.SID == "" || raw.PingInterval <= 0 || raw.PingTimeout <= 0 {
		return handshake{}, errors.New("the handshake lacks a session id or the ping intervals")
	}
	held := func(ms int64) time.Duration {
		return time.Duration(min(max(ms, 100), time.Hour.Milliseconds())) * time.Millisecond
	}
	return handshake{raw.SID, held(raw.PingInterval), held(raw.PingTimeout)}, nil
}
