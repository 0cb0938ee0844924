package outbound

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"
)

// Route is how requests reach one receiver.
type Route struct {
	URL      *url.URL
	Proxy    *url.URL // nil means none
	TLS      *tls.Config
	Guard    *Guard        // checks each address before a connection
	Resolver *net.Resolver // nil means the system's
	Dial     DialFunc      // for tests; nil means a dialer that uses Guard
}

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// DirectRoute returns the route to a service that the operator trusts to choose its addresses.
func DirectRoute(u *url.URL) Route {
	return Route{URL: u, TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Guard: ChosenGuard(u.Hostname())}
}

// Client returns a new client for the route. It follows no redirects.
func (r Route) Client(log zerolog.Logger) *http.Client {
	return &http.Client{
		Transport:     newTransport(r, log),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reach connects to the receiver, or to its proxy, without sending a request.
func (r Route) Reach(ctx context.Context) (Reached, error) {
	if r.Proxy == nil {
		return reach(ctx, r.URL, r.TLS, r.Guard, r.Resolver)
	}
	reached, err := reach(ctx, r.Proxy, r.TLS, r.Guard, r.Resolver)
	reached.Proxy = true
	return reached, err
}
