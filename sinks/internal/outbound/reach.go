package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Reached describes a connection that was opened without a request.
type Reached struct {
	Host    string    // and the port, as configured
	Address string    // of the connection
	TLS     string    // the version; empty if the connection is not encrypted
	Expires time.Time // when the first certificate of the chain ends; zero without TLS
	Proxy   bool      // the connection is to the proxy; the receiver was not tested
}

// reach resolves the name, connects, and negotiates TLS if the URL requires it, under the same rules as a delivery. Its
// error has no part of the URL except the host.
func reach(ctx context.Context, u *url.URL, config *tls.Config, g *Guard, resolver *net.Resolver) (Reached, error) {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	r := Reached{Host: net.JoinHostPort(u.Hostname(), port)}
	dialer := &net.Dialer{ControlContext: g.control, Resolver: resolver}
	conn, err := dialer.DialContext(ctx, "tcp", r.Host)
	if err != nil {
		return r, fmt.Errorf("connect to %s: %w", r.Host, RootCause(outcome.Cause(ctx, err)))
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	r.Address = conn.RemoteAddr().String()
	if u.Scheme != "https" {
		return r, nil
	}
	config = config.Clone()
	config.ServerName = u.Hostname()
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return r, fmt.Errorf("negotiate TLS with %s: %w", r.Host, RootCause(outcome.Cause(ctx, err)))
	}
	state := secured.ConnectionState()
	r.TLS, r.Expires = tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter
	return r, nil
}

// RootCause unwraps a network error whose wrappers repeat the address.
func RootCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}
