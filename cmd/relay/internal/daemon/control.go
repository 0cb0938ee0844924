package daemon

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

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

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
	l, err := Listen(ctx, dir)
	if err != nil {
		log.Warn().Err(err).Msg("control socket cannot be made: commands that read the journal work only while relay is stopped")
		return func() error { return nil }
	}
	c := &control{job: j, remote: !at.NATSURL.Empty(), pasts: past}
	mux := http.NewServeMux()
	c.routeJournal(mux)
	mux.HandleFunc("POST "+api.PathReconcile, c.reconcile)
	mux.HandleFunc("GET "+api.PathStatus, c.status)
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
		removeErr := os.Remove(filepath.Join(dir, api.Socket))
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

// Listen makes the socket, for the user only from its first moment on.
func Listen(ctx context.Context, dir string) (*net.UnixListener, error) {
	private, err := os.MkdirTemp(dir, ".control-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // an empty folder
	const name = "s"
	var l net.Listener
	err = api.WithShortPath(private, name, func(path string) error {
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
		err = os.Rename(filepath.Join(private, name), filepath.Join(dir, api.Socket))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the control socket: %w", err), unix.Close())
	}
	return unix, nil
}

// openPatience is how long a command waits for a journal that is being opened: less, so that it hears why.
const openPatience = 4 * time.Second
