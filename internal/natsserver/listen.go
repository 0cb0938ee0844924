package natsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// listen holds the addresses for backends and pages.
type listen struct{ overlays, pages address }

// address is a listening address.
type address struct {
	host string
	port int
}

// url returns the URL for this machine, or "" if nothing listens.
func (a address) url(scheme string) string {
	if a == (address{}) {
		return ""
	}
	return scheme + "://" + reachable(a.host, a.port)
}

// probe checks that the address is free, since the server reports that only in its log. It chooses a port if that is 0.
// It returns nothing for an empty address.
func probe(ctx context.Context, key, listen string) (a address, err error) {
	if listen == "" {
		return a, nil
	}
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return a, fmt.Errorf("%s %q: want HOST:PORT such as 127.0.0.1:4222", key, listen)
	}
	if number, err := strconv.Atoi(portText); err != nil || number < 0 || number > 65535 {
		return a, fmt.Errorf("%s %q: the port must be a number from 0 to 65535", key, listen)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return a, fmt.Errorf("listen for overlays on %s %s: %w; stop what uses it or choose another address", key, listen, errors.Unwrap(err))
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return a, fmt.Errorf("probe %s %s: %w", key, listen, err)
	}
	return address{host, addr.Port}, nil
}

// checkWritable writes a file of 1 MiB to the folder, since the server's own error is unclear.
func checkWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".write-test-*")
	if err == nil {
		_, err = f.Write(make([]byte, 1<<20))
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("write to the folder of the embedded NATS server: %w; free some space, fix its permissions or choose another with --data-dir", err)
	}
	return nil
}
