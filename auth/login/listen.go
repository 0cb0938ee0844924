package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"

	"github.com/treatrelay/relay/internal/loopback"
)

// listen opens the port of the redirect URL on loopback. It returns the redirect URL with the actual port instead of
// port 0, and the path that the browser will request.
func listen(ctx context.Context, account, redirect string) (final, path string, all []net.Listener, err error) {
	field := "accounts." + account + ".redirect_url"
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || !loopback.Is(u.Hostname()) {
		return "", "", nil, fmt.Errorf("%s must be an http URL of this machine, such as http://localhost:8919, and be registered as such at the provider", field)
	}
	port := cmp.Or(u.Port(), "80")
	hosts := []string{u.Hostname()}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil { // It is localhost.
		// A browser may try either address first, and no other program must get one of them.
		hosts = []string{"127.0.0.1", "::1"}
	}
	for i, host := range hosts {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
		switch {
		case err == nil:
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
			continue
		case i > 0 && !inUse(err):
			continue // no IPv6
		case inUse(err):
			err = fmt.Errorf("port %s of %s is taken: stop what listens there, or change the port here and at the provider", port, field)
		default:
			err = fmt.Errorf("listen on port %s of %s: %w", port, field, err)
		}
		for _, l := range all {
			_ = l.Close()
		}
		return "", "", nil, err
	}
	path = cmp.Or(u.Path, "/")
	if u.Port() != "0" {
		return redirect, path, all, nil // unchanged: providers compare it with the registered one
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u.String(), path, all, nil
}

// inUse reports whether err means that the port is taken. Windows has its own error number for that.
func inUse(err error) bool {
	const wsaeaddrinuse = syscall.Errno(10048)
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaeaddrinuse)
}
