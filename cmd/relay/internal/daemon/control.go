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

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/logins"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
)

// control has the handler of the local API, and counts its requests. It is served on the Unix socket, and behind the pages.
type control struct {
	job     *job // its journal may be used once monitor.opened is closed
	handler http.Handler
	logins  *logins.Logins

	mu     sync.Mutex // guards closed, and work.Add against work.Wait
	closed bool
	work   sync.WaitGroup // requests
}

func newControl(j *job) *control {
	c := &control{job: j, logins: logins.New(j.account)}
	c.handler = c.owned(server.New(server.Config{
		Journal: c.journal, Sinks: c.sinks, Selections: c.selections, Status: j.monitor.snapshot, Series: j.monitor.series.Last, Reconcile: c.reconcile,
		Configuration: j.viewer.View, Logins: c.logins, Pages: c.pageConfig(),
	}))
	return c
}

// serve serves the local API on the Unix socket until stop is called. Then no request of the API is under way any more, nor is another one served.
// The caller must hold the lock of the data folder, so an existing socket is a dead one. If the socket cannot be created, relay runs without it, and
// logs what that means.
func (c *control) serve(ctx context.Context, dir string, log zerolog.Logger) (stop func() error) {
	l, err := Listen(ctx, dir)
	if err != nil {
		log.Warn().Err(err).Msg("control socket cannot be created: commands that read the journal work only while relay is stopped")
		return func() error { c.close(); return nil }
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	hs := &http.Server{
		Handler: c.handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: maxHeader,
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
		c.close()
		return err
	}
}

// close waits for the requests and logins under way, and serves no others.
func (c *control) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.logins.Close() // requests may wait for one
	c.work.Wait()
}

// maxHeader limits the header of a request, whose URL may name many events.
const maxHeader = 1 << 20

// openPatience is how long a request waits for a journal that is being opened. It is less than a command waits, so that the command learns why.
const openPatience = 4 * time.Second

// journal returns the journal. While relay is starting it waits.
func (c *control) journal(ctx context.Context) (*journal.Journal, error) {
	select {
	case <-c.job.monitor.opened:
		return c.job.data.journal, nil
	case <-time.After(openPatience):
		return nil, starting()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// starting returns the problem of a request that relay cannot serve before everything is open.
func starting() error {
	return api.NewProblem(http.StatusServiceUnavailable, api.ProblemStarting, "relay is starting").WithFix(advice.Do("try again in a moment")).WithCode(exit.Unavailable)
}

// sinks returns the names and types of the sinks of the current configuration.
func (c *control) sinks() (names []string, types map[string]string) {
	return c.job.runners().cfg.SinkTypes()
}

// selections returns the rules of the sinks of the current configuration.
func (c *control) selections() map[string]rules.Selection { return c.job.runners().cfg.Selections() }

// owned counts running requests, so that stop can wait for them.
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

// Listen creates the Unix socket in the data folder. From the first moment, only the user may open it.
func Listen(ctx context.Context, dir string) (*net.UnixListener, error) {
	private, err := os.MkdirTemp(dir, ".control-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("create the control socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // an empty folder
	const name = "s"
	var l net.Listener
	err = api.WithShortPath(private, name, func(path string) error {
		l, err = (&net.ListenConfig{}).Listen(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create the control socket: %w", err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(errors.New("create the control socket: not a unix socket"), l.Close())
	}
	unix.SetUnlinkOnClose(false) // it is renamed below
	if runtime.GOOS != "windows" {
		err = os.Chmod(filepath.Join(private, name), 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(private, name), filepath.Join(dir, api.Socket))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the control socket: %w", err), unix.Close())
	}
	return unix, nil
}
