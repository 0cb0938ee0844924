package natsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// listen is where the server listens, for backends and for pages.
type listen struct{ overlays, pages address }

// address is where the server listens for some clients.
type address struct {
	host string
	port int
}

// url is how this machine reaches it, empty if nothing listens.
func (a address) url(scheme string) string {
	if a == (address{}) {
		return ""
	}
	return scheme + "://" + reachable(a.host, a.port)
}

// probe checks that the address can be listened on, which the server reports in its log only, and chooses the port if it is 0.
// Of an empty address it returns none.
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

// checkWritable writes a file of a MiB in the folder, since the server does not report clearly that it cannot.
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
