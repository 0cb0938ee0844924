package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/intake"
)

// Socket is the name of the Unix socket in the data folder on which a running relay serves the API. Only the user that relay runs as may open it,
// and may do anything with relay's data.
const Socket = "relay.sock"

// maxSocketPath is the longest path of a socket that all systems accept: 104 bytes with the final zero on macOS, 108 on Linux and Windows.
const maxSocketPath = 103

// WithShortPath calls use with a path of the file name in dir that is short enough for a socket. If necessary, it leads through a temporary link.
func WithShortPath(dir, name string, use func(path string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return use(path)
	}
	target, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	links, err := os.MkdirTemp("", "relay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(links) //nolint:errcheck // one link, in a folder for temporary files
	link := filepath.Join(links, "d")
	if err := os.Symlink(target, link); err != nil {
		return err
	}
	return use(filepath.Join(link, name))
}

// ErrNoRelay means that no relay listens on the socket.
var ErrNoRelay = errors.New("no relay answers on the data folder")

// Timeout limits how long a running relay may take to answer a command.
const Timeout = 5 * time.Second

// Dial connects to the socket in the data folder dir. The error is an [ErrNoRelay] if no relay listens there.
func Dial(ctx context.Context, dir string) (conn net.Conn, err error) {
	path := filepath.Join(dir, Socket)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoRelay
	}
	err = WithShortPath(dir, Socket, func(short string) error {
		conn, err = (&net.Dialer{Timeout: Timeout}).DialContext(ctx, "unix", short)
		return err
	})
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("open %s: %w", path, fs.ErrPermission), Fix: advice.Do("run this as the user that relay runs as"),
		})
	default: // usually a relay that was killed has left the socket
		return nil, fmt.Errorf("%w: %w", ErrNoRelay, err)
	}
}

// GetStatus returns the status of the relay that runs on the data folder. The error is an [ErrNoRelay] if none runs.
func GetStatus(ctx context.Context, dir string) (s Status, err error) {
	err = once(ctx, dir, func(c *Client) error {
		s, err = c.Status(ctx)
		return err
	})
	return s, err
}

// Reconcile makes the relay that runs on the data folder compare an account's history. The error is an [ErrNoRelay] if none runs.
func Reconcile(ctx context.Context, dir, account string) (result intake.Reconciliation, err error) {
	err = once(ctx, dir, func(c *Client) error {
		result, err = c.Reconcile(ctx, account)
		return err
	})
	return result, err
}

// once makes one request on a connection of its own.
func once(ctx context.Context, dir string, ask func(*Client) error) error {
	c, err := Connect(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(ask(c), c.Close())
}

// Connect returns a client of the relay that runs on the data folder. The error is an [ErrNoRelay] if none does.
func Connect(ctx context.Context, dir string) (*Client, error) {
	conn, err := Dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	first := make(chan net.Conn, 1)
	first <- conn
	through := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-first:
				return conn, nil
			default:
				return Dial(ctx, dir)
			}
		},
		MaxConnsPerHost: 4, MaxIdleConnsPerHost: 4,
	}
	return New(through, dir), nil
}
