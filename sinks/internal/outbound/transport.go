package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// tlsTimeout bounds a TLS handshake.
const tlsTimeout = 10 * time.Second

// transport sends requests to one receiver: by HTTP/2 if possible, until the receiver requires HTTP/1.1 (RFC 9113,
// section 7, HTTP_1_1_REQUIRED). A request refused for that reason was not processed, and is sent again at once.
type transport struct {
	both *http.Transport
	old  *http.Transport // HTTP/1.1 only
	log  zerolog.Logger

	onlyOld atomic.Bool
}

// newTransport returns a new transport without the proxies of the environment and without decompression, which could
// expand a small body to a large one. The guard checks every address it connects to; with a proxy, that is the address
// of the proxy.
func newTransport(r Route, log zerolog.Logger) *transport {
	return &transport{
		both: dialTransport(r, "h2", "http/1.1"),
		old:  dialTransport(r, "http/1.1"),
		log:  log,
	}
}

func dialTransport(r Route, protocols ...string) *http.Transport {
	d := &statusDialer{
		Dialer: &net.Dialer{KeepAlive: 30 * time.Second, ControlContext: r.Guard.control, Resolver: r.Resolver},
		config: r.TLS.Clone(),
	}
	d.config.NextProtos = protocols
	t := &http.Transport{
		OnProxyConnectResponse: checkProxy,
		DialContext:            d.dial,
		TLSClientConfig:        r.TLS.Clone(),
		TLSHandshakeTimeout:    tlsTimeout,
		DisableCompression:     true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64, // one for each account that delivers concurrently
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
		// Detects a dead HTTP/2 connection.
		HTTP2:     &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(protocols[0] == "h2")
	switch {
	case r.Dial != nil:
		t.DialContext = r.Dial
	case r.Proxy != nil:
		t.Proxy = http.ProxyURL(r.Proxy)
	default:
		t.DialTLSContext = d.dialTLS
	}
	return t
}

// statusDialer opens connections that keep the status of a response, see [statusConn].
type statusDialer struct {
	*net.Dialer
	config *tls.Config
}

func (d *statusDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &statusConn{Conn: conn}, nil
}

// dialTLS also negotiates TLS. It returns an HTTP/2 connection unwrapped, as the client requires.
func (d *statusDialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	raw, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.config.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	conn := tls.Client(raw, config)
	ctx, cancel := context.WithTimeoutCause(ctx, tlsTimeout, errTLSTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, outcome.Cause(ctx, err)
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, nil
	}
	return &statusConn{Conn: conn}, nil
}

var errTLSTimeout = fmt.Errorf("no TLS handshake within %v", tlsTimeout)

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.onlyOld.Load() {
		return t.old.RoundTrip(req)
	}
	resp, err := t.both.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	required, unreadable := http2Fault(err)
	if !required && !unreadable {
		return nil, err
	}
	if !t.onlyOld.Swap(true) {
		t.log.Info().Err(err).Str("receiver", req.URL.Host).Msg("using HTTP/1.1 for this receiver from now on")
		t.both.CloseIdleConnections()
	}
	if !required || req.GetBody == nil {
		return nil, err // it has responded; with HTTP/1.1, the status of the next response can be read
	}
	again := req.Clone(req.Context())
	if again.Body, err = req.GetBody(); err != nil {
		return nil, err
	}
	return t.old.RoundTrip(again)
}

// http2Fault reports whether the receiver requires HTTP/1.1, and whether it sent an HTTP/2 response that the client
// cannot read, such as one with too large a header. net/http exports no type for either error.
func http2Fault(err error) (required, unreadable bool) {
	text := err.Error()
	return strings.Contains(text, "HTTP_1_1_REQUIRED"),
		strings.Contains(text, "response header list larger than advertised limit") || strings.Contains(text, "connection error: PROTOCOL_ERROR")
}

// CloseIdleConnections closes idle connections.
func (t *transport) CloseIdleConnections() {
	t.both.CloseIdleConnections()
	t.old.CloseIdleConnections()
}

// checkProxy returns why a proxy does not connect to a receiver.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return ErrProxyLogin
	}
	return fmt.Errorf("status %d: the proxy does not connect to the receiver", resp.StatusCode)
}

// Advise adds the fix to an error, if there is one.
func Advise(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: if its certificate is your own, set tls_ca_file", err)
	}
	return err
}
