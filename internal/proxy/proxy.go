// Package proxy determines from the environment which proxy to use for requests to providers and realtime servers. Its
// errors never show an address, which may contain a password. Start reading at [FromEnvironment].
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

// FromEnvironment returns the proxy for a request, or nil for none. HTTPS_PROXY and HTTP_PROXY apply to URLs of their
// scheme, ALL_PROXY to the others. NO_PROXY lists hosts that need no proxy. Lower-case names take precedence. Localhost
// and loopback addresses never use a proxy. The error shows no value, which may hold a password.
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

// Check returns an error that names the first variable without a valid proxy address.
func Check() error {
	for _, variable := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"} {
		name, value := lookup(variable)
		if value != "" && !usable(value) {
			return fmt.Errorf("the environment variable %s is not the address of a proxy: want http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT", name)
		}
	}
	return nil
}

// usable reports whether net/http supports the address. Without a scheme it is an HTTP proxy.
func usable(address string) bool {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}

// lookup returns the value of a variable, and the spelling under which it is set.
func lookup(name string) (spelling, value string) {
	if value := os.Getenv(strings.ToLower(name)); value != "" {
		return strings.ToLower(name), strings.TrimSpace(value)
	}
	return name, strings.TrimSpace(os.Getenv(name))
}

// Connected checks a proxy's answer to CONNECT. It is the OnProxyConnectResponse of an [http.Transport], whose own
// error has the reason phrase without the status.
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
