package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/treatrelay/relay/internal/proxy"
)

// opened are the connections that one attempt has opened. The transport goes on dialling for an attempt that was given up,
// and holds a connection whose TLS handshake never ends; nothing of either may be left at the server.
type opened struct {
	mu    sync.Mutex
	conns map[*openedConn]struct{}
	some  bool // there was one at least
	over  bool
}

// openedConn is out of view when it is closed.
type openedConn struct {
	net.Conn
	all *opened
}

func (c *openedConn) Close() error {
	c.all.mu.Lock()
	delete(c.all.conns, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// add keeps a new connection in view, or closes it if the attempt is over.
func (o *opened) add(conn net.Conn) net.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		_ = conn.Close()
		return conn
	}
	if o.conns == nil {
		o.conns = make(map[*openedConn]struct{})
	}
	kept := &openedConn{conn, o}
	o.conns[kept], o.some = struct{}{}, true
	return kept
}

// any reports whether a connection was opened.
func (o *opened) any() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.some
}

// close ends the attempt and all that it opened.
func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for conn := range o.conns {
		_ = conn.Conn.Close()
	}
}

// newHTTPClient makes the client of one attempt, which ends with ctx, and of what comes of it. It speaks HTTP/1 only, and follows
// no redirect, which would hand the token to another host. It keeps no idle connection: net/http would repeat a poll by itself
// on another one if that broke, and what the server has answered to the first would be lost unseen.
func (c *Client) newHTTPClient(ctx context.Context, all *opened) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  c.cfg.Dial.Proxy,
			ProxyConnectHeader:     c.header(),
			OnProxyConnectResponse: proxy.Connected,
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
				conn, err := c.dialer(ctx, network, addr) // not for the transport's context, which outlives the attempt
				if err != nil {
					return nil, err
				}
				return all.add(conn), nil
			},
			TLSClientConfig:        c.cfg.Dial.TLS.Clone(),
			Protocols:              protocols,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// through names the proxy on the way to the server, if there is one.
func (c *Client) through(ctx context.Context) string {
	bare := url.URL{Scheme: c.url.Scheme, Host: c.url.Host}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), http.NoBody)
	if err != nil {
		return ""
	}
	by, err := c.cfg.Dial.Proxy(req)
	if err != nil || by == nil {
		return ""
	}
	return " through the proxy " + by.Host
}

// header is what every request carries.
func (c *Client) header() http.Header {
	header := make(http.Header)
	if c.cfg.Dial.UserAgent != "" {
		header.Set("User-Agent", c.cfg.Dial.UserAgent)
	}
	return header
}

// answer is what a server, or a proxy before it, says in an answer that nobody wanted.
type answer struct {
	status int
	code   *int   // of Engine.IO, if it is the answer of such a server
	text   string // the status, and the reason in words
}

// readAnswer reads an answer that nobody wanted.
func readAnswer(resp *http.Response, scrub scrubber) answer {
	a := answer{status: resp.StatusCode, text: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	if resp.Body == nil || a.status == http.StatusSwitchingProtocols { // which goes on for ever
		return a
	}
	var reason struct {
		Code    *int   `json:"code"`
		Message string `json:"message"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err == nil && json.Unmarshal(body, &reason) == nil {
		a.code = reason.Code
		if reason.Message != "" {
			a.text += fmt.Sprintf(" (%q)", scrub.clean(reason.Message))
		}
	}
	return a
}

// The codes of Engine.IO's own refusals. (engine.io, Server.errors.)
const (
	codeTransport = 0 // the server does not have the transport
	codeBad       = 3 // of a WebSocket: the request for the upgrade has arrived without its headers
)

// hint says what to do about an answer.
func (a answer) hint() string {
	switch {
	case a.status >= 300 && a.status < 400:
		return ": redirects are not followed, set the URL to the final one"
	case a.status == http.StatusNotFound:
		return ": no Socket.IO server at this path, check the URL"
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return ": the server refuses this client, check its authorization"
	}
	return ""
}

const notPassed = "a proxy between here and the server does not pass WebSocket upgrades on"

// noUpgrade says why an answer means that a WebSocket is not available here, but perhaps long-polling. Nil: it does not.
func (a answer) noUpgrade() *upgradeError {
	const stripped = " instead of 101 Switching Protocols: " + notPassed
	switch a.status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNonAuthoritativeInfo, http.StatusNoContent,
		http.StatusPartialContent, http.StatusMethodNotAllowed, http.StatusUpgradeRequired, http.StatusNotImplemented,
		http.StatusHTTPVersionNotSupported:
		return &upgradeError{why: a.text + stripped, sure: true}
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return &upgradeError{why: a.text}
	case http.StatusForbidden:
		if a.code == nil { // not the server's
			return &upgradeError{why: a.text + a.hint()}
		}
	case http.StatusBadRequest:
		if a.code != nil && *a.code == codeBad {
			return &upgradeError{why: a.text + stripped, sure: true}
		}
		if a.code != nil && *a.code == codeTransport {
			return &upgradeError{why: a.text + ": the server does not serve WebSocket", sure: true}
		}
	}
	return nil
}
