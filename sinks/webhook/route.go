package webhook

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// route returns how requests reach the receiver. It reads the files that the configuration names for that.
func (c *Config) route() (r outbound.Route, err error) {
	target, key, err := c.ReadURL()
	if err != nil {
		return outbound.Route{}, err
	}
	if r.URL, err = c.target(target); err != nil {
		return outbound.Route{}, field.Wrap(key, err)
	}
	if r.TLS, err = c.TLSConfig(); err != nil {
		return outbound.Route{}, err
	}
	networks, err := outbound.ParseNetworks(c.AllowNetworks)
	if err != nil {
		return outbound.Route{}, field.Wrap("allow_networks", err)
	}
	if r.Proxy, err = outbound.ParseProxy(c.Proxy); err != nil {
		return outbound.Route{}, field.Wrap("proxy", err)
	}
	r.Guard, r.Resolver = outbound.NewGuard(r.URL.Hostname(), networks), c.resolver
	if r.Proxy != nil { // The proxy resolves the name, and the operator chose the proxy.
		r.Guard = outbound.ChosenGuard(r.Proxy.Hostname())
	}
	return r, nil
}

// CheckFiles reads the files that the configuration names and returns all errors, joined. It opens no connection.
func (c *Config) CheckFiles() error {
	_, routeErr := c.route()
	_, keysErr := c.keyring(zerolog.Nop())
	return errors.Join(routeErr, keysErr)
}

// Reach connects to the receiver, or to its proxy, without sending a request.
func (c *Config) Reach(ctx context.Context) (outbound.Reached, error) {
	r, err := c.route()
	if err != nil {
		return outbound.Reached{}, err
	}
	return r.Reach(ctx)
}
