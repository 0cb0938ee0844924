package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// controlSocket lies in the data folder while relay runs. Commands speak HTTP on it. Whoever may open it, and that is its user
// only, may do anything with relay's data.
const controlSocket = "relay.sock"

// control serves a running relay's commands.
type control struct {
	job    *job // its journal is there once the monitor's opened is closed
	remote bool // the journal is on another server
	pasts  *pasts

	mu     sync.Mutex // guards closed, and work against its end
	closed bool
	work   sync.WaitGroup // requests
}

// serveControl serves the commands until stop is called. The data folder is locked, so a socket that lies there is a dead
// one. Where there can be no socket relay runs all the same, and says what that means.
func serveControl(ctx context.Context, dir string, j *job, at config.Journal, past *pasts, log zerolog.Logger) (stop func() error) {
	l, err := listenControl(ctx, dir)
	if err != nil {
		log.Warn().Err(err).Msg("control socket cannot be made: commands that read the journal work only while relay is stopped")
		return func() error { return nil }
	}
	c := &control{job: j, remote: !at.NATSURL.Empty(), pasts: past}
	mux := http.NewServeMux()
	c.routeJournal(mux)
	mux.HandleFunc("POST /v1/reconcile", c.reconcile)
	mux.HandleFunc("GET /v1/status", c.status)
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	hs := &http.Server{
		Handler: c.owned(mux), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("control socket ended")
		}
	})
	return func() error {
		removeErr := os.Remove(filepath.Join(dir, controlSocket))
		if errors.Is(removeErr, fs.ErrNotExist) {
			removeErr = nil
		}
		cancel()
		err := errors.Join(removeErr, hs.Close())
		served.Wait()
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.work.Wait()
		return err
	}
}

// owned counts the requests under way.
func (c *control) owned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return
		}
		c.work.Add(1)
		c.mu.Unlock()
		defer c.work.Done()
		next.ServeHTTP(w, r)
	})
}

// listenControl makes the socket, for the user only from its first moment on.
func listenControl(ctx context.Context, dir string) (*net.UnixListener, error) {
	private, err := os.MkdirTemp(dir, ".control-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // an empty folder
	const name = "s"
	var l net.Listener
	err = withShortPath(private, name, func(path string) error {
		l, err = (&net.ListenConfig{}).Listen(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(errors.New("make the control socket: not a unix socket"), l.Close())
	}
	unix.SetUnlinkOnClose(false) // it moves
	if runtime.GOOS != "windows" {
		err = os.Chmod(filepath.Join(private, name), 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(private, name), filepath.Join(dir, controlSocket))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the control socket: %w", err), unix.Close())
	}
	return unix, nil
}

// maxSocketPath is how long the path of a socket may be: 104 bytes with the final zero on macOS, 108 on Linux and Windows.
const maxSocketPath = 103

// withShortPath calls use with a path of a file in dir that is short enough for a socket: a link leads there if need be.
func withShortPath(dir, name string, use func(path string) error) error {
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
	// errNoControl says that no relay listens on the control socket.
	errNoControl = errors.New("no relay answers on the data folder")
	// errRemoteJournal says that the running relay's journal is on another server.
	errRemoteJournal = errors.New("the journal of the relay that runs on the data folder is on another server")
)

// controlTimeout is how long a running relay may take to answer a command.
const controlTimeout = 5 * time.Second

// openPatience is how long a command waits for a journal that is being opened: less, so that it hears why.
const openPatience = 4 * time.Second

// dialControl connects to the control socket. The error is an [errNoControl] if no relay listens there.
func dialControl(ctx context.Context, dir string) (conn net.Conn, err error) {
	path := filepath.Join(dir, controlSocket)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoControl
	}
	err = withShortPath(dir, controlSocket, func(short string) error {
		conn, err = (&net.Dialer{Timeout: controlTimeout}).DialContext(ctx, "unix", short)
		return err
	})
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, exit.With(exit.Unavailable, fmt.Errorf("open %s: %w; run this as the user that relay runs as", path, fs.ErrPermission))
	default: // most often a relay that was killed has left the socket
		return nil, fmt.Errorf("%w: %w", errNoControl, err)
	}
}

// askControl sends a request to the relay that runs on the data folder. The error is an [errNoControl] if none runs. The caller
// closes the answer's body.
func askControl(ctx context.Context, dir, method, path string) (*http.Response, error) {
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return nil, err
	}
	used := false
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, errNoControl
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
