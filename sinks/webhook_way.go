package sinks

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
)

// route is how requests get to the receiver. It reads the files that the configuration names for it.
func (c *WebhookConfig) route() (r Route, err error) {
	target, key, err := c.ReadURL()
	if err != nil {
		return Route{}, err
	}
	if r.URL, err = c.target(target); err != nil {
		return Route{}, field(key, err)
	}
	if r.TLS, err = c.TLSConfig(); err != nil {
		return Route{}, err
	}
	networks, err := parseNetworks(c.AllowNetworks)
	if err != nil {
		return Route{}, field("allow_networks", err)
	}
	if r.Proxy, err = parseProxy(c.Proxy); err != nil {
		return Route{}, field("proxy", err)
	}
	r.Guard, r.Resolver = newGuard(r.URL.Hostname(), networks), c.resolver
	if r.Proxy != nil { // The name is the proxy's to resolve, and where the proxy is, the operator's choice.
		r.Guard = chosenGuard(r.Proxy.Hostname())
	}
	return r, nil
}

// CheckFiles implements [Config].
func (c *WebhookConfig) CheckFiles() error {
	_, routeErr := c.route()
	_, keysErr := c.keyring(zerolog.Nop())
	return errors.Join(routeErr, keysErr)
}

// Reach connects to the receiver, or to the proxy that leads there, without sending a request.
func (c *WebhookConfig) Reach(ctx context.Context) (Reached, error) {
	r, err := c.route()
	if err != nil {
		return Reached{}, err
	}
	return r.Reach(ctx)
}
