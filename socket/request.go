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

// opened tracks the connections that one attempt has opened. The transport continues to dial for an abandoned attempt,
// and keeps a connection whose TLS handshake never ends; none of them may stay open.
type opened struct {
	mu    sync.Mutex
	conns map[*openedConn]struct{}
	some  bool // there was at least one
	over  bool
}

// openedConn is no longer tracked once it is closed.
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

// add tracks a new connection, or closes it if the attempt is over.
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

// close ends the attempt and closes its connections.
func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for conn := range o.conns {
		_ = conn.Conn.Close()
	}
}

// newHTTPClient makes the HTTP client of one attempt and its session, which ends with ctx. It speaks HTTP/1 only. It
// follows no redirect, which would reveal the token to another host. It keeps no idle connection, since net/http would
// silently repeat a broken poll on another one, and lose the first answer.
func (c *Client) newHTTPClient(ctx context.Context, all *opened) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  c.cfg.Dial.Proxy,
			ProxyConnectHeader:     c.header(),
			OnProxyConnectResponse: proxy.Connected,
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
				conn, err := c.dialer(ctx, network, addr) // not the transport's context, which outlives the attempt
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

// through returns the proxy to the server in words, if there is one.
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

// header returns the header of all requests.
func (c *Client) header() http.Header {
	header := make(http.Header)
	if c.cfg.Dial.UserAgent != "" {
		header.Set("User-Agent", c.cfg.Dial.UserAgent)
	}
	return header
}

// answer describes an unexpected answer of a server or proxy.
type answer struct {
	status int
	code   *int   // Engine.IO error code; nil: not an Engine.IO server
	text   string // the status and the reason in words
}

// readAnswer reads an unexpected answer.
func readAnswer(resp *http.Response, scrub scrubber) answer {
	a := answer{status: resp.StatusCode, text: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	if resp.Body == nil || a.status == http.StatusSwitchingProtocols { // its body does not end
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

// The error codes of Engine.IO. (engine.io, Server.errors.)
const (
	codeTransport = 0 // the server does not have the transport
	codeBad       = 3 // for a WebSocket: the upgrade request has lost its headers
)

// hint returns what to do about an answer.
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

// noUpgrade returns why an answer means that WebSocket is not available but long-polling may be. Nil: it does not mean
// that.
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
		if a.code == nil { // not from the server
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
