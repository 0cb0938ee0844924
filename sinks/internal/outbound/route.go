package outbound

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"
)

// Route is how requests get to one receiver.
type Route struct {
	URL      *url.URL
	Proxy    *url.URL // nil: none
	TLS      *tls.Config
	Guard    *Guard        // of the addresses that are connected to
	Resolver *net.Resolver // nil: the system's
	Dial     DialFunc      // for tests; nil: a dialer that asks Guard
}

// DialFunc makes connections.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// DirectRoute leads to a service whose addresses are its own to choose.
func DirectRoute(u *url.URL) Route {
	return Route{URL: u, TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Guard: ChosenGuard(u.Hostname())}
}

// Client makes a client of the sink's own, which follows no redirects.
func (r Route) Client(log zerolog.Logger) *http.Client {
	return &http.Client{
		Transport:     newTransport(r, log),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reach connects to the receiver, or to the proxy that leads there, without sending a request.
func (r Route) Reach(ctx context.Context) (Reached, error) {
	if r.Proxy == nil {
		return reach(ctx, r.URL, r.TLS, r.Guard, r.Resolver)
	}
	reached, err := reach(ctx, r.Proxy, r.TLS, r.Guard, r.Resolver)
	reached.Proxy = true
	return reached, err
}
