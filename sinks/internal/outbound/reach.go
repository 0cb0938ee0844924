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

// Reached is what a connection to a destination has shown, of which nothing was asked.
type Reached struct {
	Host    string    // and the port, as configured
	Address string    // the one that was connected to
	TLS     string    // the version; empty: the connection is not encrypted
	Expires time.Time // when the first certificate of the chain ends; zero without TLS
	Proxy   bool      // it is the proxy's, and what is behind it does not show
}

// reach looks the name up, connects, and negotiates TLS where the URL has it, under the rules that hold for deliveries. Its
// error has the host and no other part of the URL.
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

// RootCause takes the wrappers off an error of the network that repeat the address.
func RootCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err
}
