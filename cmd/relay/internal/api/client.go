// Package api is the local API of a relay that runs: its types, and its client for commands on the same machine, over the socket in the data folder.
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

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Socket lies in the data folder while relay runs. Commands speak HTTP on it. Whoever may open it, and that is its user
// only, may do anything with relay's data.
const Socket = "relay.sock"

// maxSocketPath is how long the path of a socket may be: 104 bytes with the final zero on macOS, 108 on Linux and Windows.
const maxSocketPath = 103

// WithShortPath calls use with a path of a file in dir that is short enough for a socket: a link leads there if need be.
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
	defer os.RemoveAll(links) //nolint:errcheck // one link, in a folder for what may be left
	link := filepath.Join(links, "d")
	if err := os.Symlink(target, link); err != nil {
		return err
	}
	return use(filepath.Join(link, name))
}

var (
	// ErrNoRelay says that no relay listens on the control socket.
	ErrNoRelay = errors.New("no relay answers on the data folder")
	// ErrRemoteJournal says that the running relay's journal is on another server.
	ErrRemoteJournal = errors.New("the journal of the relay that runs on the data folder is on another server")
)

// Timeout is how long a running relay may take to answer a command.
const Timeout = 5 * time.Second

// Dial connects to the control socket. The error is an [ErrNoRelay] if no relay listens there.
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
		return nil, exit.With(exit.Unavailable, fmt.Errorf("open %s: %w; run this as the user that relay runs as", path, fs.ErrPermission))
	default: // most often a relay that was killed has left the socket
		return nil, fmt.Errorf("%w: %w", ErrNoRelay, err)
	}
}

// ask sends a request to the relay that runs on the data folder. The error is an [ErrNoRelay] if none runs. The caller
// closes the answer's body.
func ask(ctx context.Context, dir, method, path string) (*http.Response, error) {
	conn, err := Dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	used := false
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, ErrNoRelay
			}
			used = true
			return conn, nil
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://relay"+path, http.NoBody)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	resp, err := client.Do(req)
	if err != nil {
		_ = conn.Close() // the error counts
		if context.Cause(ctx) != nil {
			return nil, context.Cause(ctx)
		}
		return nil, exit.With(exit.Unavailable, fmt.Errorf("ask the relay that runs on %s: it has stopped; try again", dir))
	}
	return resp, nil
}
