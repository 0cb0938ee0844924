package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// conn transports the frames of a session. One goroutine reads; any may write.
type conn interface {
	// read reads a message, or skips most of it. While one arrives, it calls heard, which may be nil. errUpgraded means
	// that the session continues on another transport.
	read(ctx context.Context, heard func()) (incoming, error)
	// write sends one text frame.
	write(ctx context.Context, text string) error
	// ping sends something where the protocol has no ping of the client.
	ping(ctx context.Context)
	close()
}

// link is an open connection on which the server has started an Engine.IO session.
type link struct {
	conn      conn
	rev       Protocol // the revision of the dial
	handshake handshake
	scrub     scrubber
}

// target is the destination of an attempt.
type target struct {
	url   url.URL // with a fresh query
	rev   Protocol
	scrub scrubber
}

// transport returns the URL for an Engine.IO transport, with additions to the query.
func (t *target) transport(name Transport, more url.Values) *url.URL {
	at := t.url
	query := at.Query()
	query.Set("EIO", t.rev.String())
	query.Set("transport", string(name))
	maps.Copy(query, more)
	at.RawQuery = query.Encode()
	return &at
}

// dial gets a fresh query, connects with the given transport and revision, and waits for the handshake. The error is a
// [fault], or a permanent error of Query.
func (c *Client) dial(ctx context.Context, rev Protocol, via Transport) (*link, error) {
	to, err := c.newTarget(ctx, rev)
	if err != nil {
		return nil, err
	}
	if via == Polling {
		return c.dialPolling(ctx, to)
	}
	ws, err := c.upgrade(ctx, to)
	if err != nil {
		return nil, err
	}
	hs, err := c.readHandshake(ctx, ws)
	if err != nil {
		ws.close()
		return nil, c.noHandshake(ctx, to, err)
	}
	return &link{ws, rev, hs, to.scrub}, nil
}

// newTarget gets a fresh query.
func (c *Client) newTarget(ctx context.Context, rev Protocol) (*target, error) {
	if err := c.delayed(); err != nil {
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
		if err := c.delayed(); err != nil { // another client got a Retry-After while this one waited for a token
			return nil, err
		}
	}
	to := &target{url: *c.url, rev: rev}
	to.url.RawQuery = query.Encode()
	to.scrub = newScrubber(to.transport(WebSocket, nil).RawQuery, query)
	return to, nil
}

// noHandshake is the failure of an attempt without a handshake.
func (c *Client) noHandshake(ctx context.Context, to *target, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, silent := errors.AsType[*silenceError](err)
	return &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
		&handshakeError{tried: to.rev, why: to.scrub.root(err), blocked: silent || closedEarly(err)})}
}

// upgrade opens the WebSocket. A failed attempt leaves no connection behind.
func (c *Client) upgrade(ctx context.Context, to *target) (*webSocket, error) {
	limit := c.cfg.Dial.HandshakeTimeout
	dialCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	all := new(opened)
	ws, resp, err := c.openWebSocket(dialCtx, c.newHTTPClient(dialCtx, all), to.transport(WebSocket, nil))
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err == nil {
		return ws, nil
	}
	defer all.close()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case resp == nil || resp.StatusCode == http.StatusSwitchingProtocols:
		f := networkFault(dialCtx, c.url.Host+c.through(dialCtx), err, to.scrub)
		stripped := resp != nil // an intermediary has removed headers from the answer
		if all.any() && (stripped || dialCtx.Err() != nil || closedEarly(err)) {
			none := &upgradeError{why: f.err.Error()}
			if stripped {
				none.why += ": " + notPassed
			}
			f.err = none
		}
		return nil, f
	}
	return nil, c.refusedUpgrade(resp, to)
}

// openWebSocket requests the upgrade.
func (c *Client) openWebSocket(ctx context.Context, through *http.Client, at *url.URL) (*webSocket, *http.Response, error) {
	conn, resp, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{HTTPClient: through, HTTPHeader: c.header()})
	if err != nil {
		return nil, resp, err
	}
	return newWebSocket(conn), resp, nil
}

// closedEarly reports whether the other side ended a connection without an answer.
func closedEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// refusedUpgrade is the failure of an attempt with an answer other than 101.
func (c *Client) refusedUpgrade(resp *http.Response, to *target) error {
	answer := readAnswer(resp, to.scrub)
	held := c.answered(resp, time.Now())
	none := answer.noUpgrade()
	switch {
	case held == "" && none != nil && none.sure:
		return &fault{kindUpgrade, fmt.Errorf("connect to %s: %w", c.url.Host, none)}
	case held == "" && none != nil:
		return &fault{kind(resp.Status), fmt.Errorf("connect to %s: %w", c.url.Host, none)}
	case answer.status == http.StatusBadRequest:
		return &fault{kindHandshake, fmt.Errorf("connect to %s: %w", c.url.Host,
			&handshakeError{tried: to.rev, why: answer.text, blocked: answer.code == nil})}
	}
	return &fault{kind(resp.Status), fmt.Errorf("connect to %s: %s", c.url.Host, answer.text+answer.hint()+held)}
}
