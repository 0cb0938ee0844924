// Package proxy reads from the environment which proxy requests to providers and realtime servers go through.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// FromEnvironment names the proxy for a request, nil if it goes without. HTTPS_PROXY and HTTP_PROXY are for URLs of those
// schemes, ALL_PROXY for those that have none of their own, and NO_PROXY lists the hosts that need none; each may be written in
// small letters, which go first. Localhost and loopback addresses never go through a proxy. The error shows no value: it may hold a
// password.
func FromEnvironment(req *http.Request) (*url.URL, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	_, all := lookup("ALL_PROXY")
	_, secure := lookup("HTTPS_PROXY")
	_, plain := lookup("HTTP_PROXY")
	_, none := lookup("NO_PROXY")
	cfg := httpproxy.Config{HTTPSProxy: secure, HTTPProxy: plain, NoProxy: none}
	if secure == "" {
		cfg.HTTPSProxy = all
	}
	if plain == "" {
		cfg.HTTPProxy = all
	}
	return cfg.ProxyFunc()(req.URL)
}

// Check says which variable of the environment is not the address of a proxy.
func Check() error {
	for _, variable := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"} {
		name, value := lookup(variable)
		if value != "" && !usable(value) {
			return fmt.Errorf("the environment variable %s is not the address of a proxy: want http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT", name)
		}
	}
	return nil
}

// usable reports whether net/http knows what to do with the address of a proxy. One without a scheme is of an HTTP proxy.
func usable(address string) bool {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}

// lookup returns a variable of the environment, and under which spelling it is set.
func lookup(name string) (spelling, value string) {
	if value := os.Getenv(strings.ToLower(name)); value != "" {
		return strings.ToLower(name), strings.TrimSpace(value)
	}
	return name, strings.TrimSpace(os.Getenv(name))
}

// Connected judges a proxy's answer to CONNECT, as the OnProxyConnectResponse of an [http.Transport], whose own error has the words of the
// answer's first line and not its status.
func Connected(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	why := fmt.Sprintf("the proxy answers HTTP %d to CONNECT", resp.StatusCode)
	if resp.StatusCode == http.StatusProxyAuthRequired {
		why += ": it wants another user and password"
	}
	return errors.New(why)
}
