package sinks

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"

	"github.com/rs/zerolog"
)

// way is how requests get to a receiver.
type way struct {
	url   *url.URL
	proxy *url.URL // nil: none
	tls   *tls.Config
	guard *guard // of the addresses that are connected to
}

// way reads the files that the configuration names for it.
func (c *WebhookConfig) way() (w way, err error) {
	target, key := c.URL, "url"
	if c.URLFile != "" {
		key = "url_file"
		if target, err = readSecretLine(key, c.URLFile); err != nil {
			return way{}, err
		}
	}
	if w.url, err = c.target(target); err != nil {
		return way{}, field(key, err)
	}
	w.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCAFile != "" {
		if w.tls.RootCAs, err = readCertificates("tls_ca_file", c.TLSCAFile); err != nil {
			return way{}, err
		}
	}
	if c.TLSCertFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
		if err != nil {
			return way{}, field("tls_cert_file", err)
		}
		w.tls.Certificates = []tls.Certificate{certificate}
	}
	networks, err := parseNetworks(c.AllowNetworks)
	if err != nil {
		return way{}, field("allow_networks", err)
	}
	if w.proxy, err = parseProxy(c.Proxy); err != nil {
		return way{}, field("proxy", err)
	}
	w.guard = newGuard(w.url.Hostname(), networks)
	if w.proxy != nil { // The name is the proxy's to resolve, and where the proxy is, the operator's choice.
		w.guard.host, w.guard.chosen = w.proxy.Hostname(), true
	}
	return w, nil
}

// CheckFiles implements [Config].
func (c *WebhookConfig) CheckFiles() error {
	_, wayErr := c.way()
	_, keysErr := c.keyring(Env{Log: zerolog.Nop()})
	return errors.Join(wayErr, keysErr)
}

// Reach connects to the receiver, or to the proxy that leads there, without sending a request.
func (c *WebhookConfig) Reach(ctx context.Context) (Reached, error) {
	w, err := c.way()
	if err != nil {
		return Reached{}, err
	}
	if w.proxy != nil {
		reached, err := reach(ctx, w.proxy, w.tls, w.guard, c.resolver)
		reached.Proxy = true
		return reached, err
	}
	return reach(ctx, w.url, w.tls, w.guard, c.resolver)
}
