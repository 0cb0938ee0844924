package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// controlSocket lies in the data folder while relay runs. Commands speak HTTP on it. Whoever may open it, and that is its user
// only, may do anything with relay's data.
const controlSocket = "relay.sock"

// Headers of the answer that hands over a connection to the journal.
const (
	headerJournalUser     = "Relay-Journal-User"
	headerJournalPassword = "Relay-Journal-Password" //nolint:gosec // the name of a header
	upgradeNATS           = "nats"
)

// control serves a running relay's commands.
type control struct {
	job    *job // its server is there once the monitor's opened is closed
	remote bool // the journal is on another server
	pasts  *pasts

	mu     sync.Mutex // guards closed, and work against its end
	closed bool
	work   sync.WaitGroup // requests, those that were hijacked too
}

// serveControl serves the commands until stop is called. The data folder is locked, so a socket that lies there is a dead
// one. Where there can be no socket relay runs all the same, and says what that means.
func serveControl(ctx context.Context, dir string, j *job, journal JournalConfig, past *pasts, log zerolog.Logger) (stop func() error) {
	l, err := listenControl(ctx, dir)
	if err != nil {
		log.Warn().Err(err).Msg("control socket cannot be made: commands that read the journal work only while relay is stopped")
		return func() error { return nil }
	}
	c := &control{job: j, remote: !journal.NATSURL.Empty(), pasts: past}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/journal", c.journal)
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

// journal turns the connection into one to the server that keeps the journal, and hands over the login. Where the journal
// is on another server it answers 409. While relay is starting it waits.
func (c *control) journal(w http.ResponseWriter, r *http.Request) {
	if c.remote {
		http.Error(w, "the journal is on another server (journal.nats_url)", http.StatusConflict)
		return
	}
	if r.Header.Get("Upgrade") != upgradeNATS {
		http.Error(w, "Upgrade: "+upgradeNATS+" is needed", http.StatusUpgradeRequired)
		return
	}
	select {
	case <-c.job.monitor.opened:
	case <-time.After(openPatience):
		http.Error(w, "relay is starting", http.StatusServiceUnavailable)
		return
	case <-r.Context().Done():
		return
	}
	inner, err := c.job.server.InProcessConn()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer inner.Close() //nolint:errcheck // nothing can be done about it
	outer, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer outer.Close() //nolint:errcheck // nothing can be done about it
	if err := outer.SetDeadline(time.Time{}); err != nil {
		return
	}
	cut := func() {
		_ = outer.Close()
		_ = inner.Close()
	}
	defer context.AfterFunc(r.Context(), cut)()
	user, password := c.job.server.JournalLogin()
	_, err = fmt.Fprintf(outer, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n%s: %s\r\n\r\n",
		upgradeNATS, headerJournalUser, user, headerJournalPassword, password.Reveal())
	if err != nil {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		defer cut()
		_, _ = io.Copy(inner, buffered) // either end may leave at any time
	})
	pumps.Go(func() {
		defer cut()
		_, _ = io.Copy(outer, inner)
	})
	pumps.Wait()
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

// dialJournal connects to the journal through the relay that runs on the data folder, and says how to log in there. The error
// is an [errNoControl] if none runs.
func dialJournal(ctx context.Context, dir string) (conn net.Conn, user string, password secret.String, err error) {
	conn, err = dialControl(ctx, dir)
	if err != nil {
		return nil, "", password, err
	}
	conn, user, password, err = upgradeControl(ctx, conn)
	if err != nil {
		err = fmt.Errorf("reach the journal through the relay that runs on %s: %w", dir, err)
	}
	return conn, user, password, err
}

// upgradeControl makes a connection to the journal of one to the control socket, which it closes on an error.
func upgradeControl(ctx context.Context, conn net.Conn) (_ net.Conn, user string, password secret.String, err error) {
	defer func() {
		if err != nil {
			_ = conn.Close() // the error counts
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return nil, "", password, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relay/v1/journal", http.NoBody)
	if err != nil {
		return nil, "", password, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", upgradeNATS)
	if err := req.Write(conn); err != nil {
		return nil, "", password, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, "", password, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols:
	case http.StatusConflict:
		return nil, "", password, errRemoteJournal
	default:
		return nil, "", password, fmt.Errorf("it answers %s; try again in a moment", resp.Status)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, "", password, err
	}
	return bufferedConn{conn, r}, resp.Header.Get(headerJournalUser), secret.New(resp.Header.Get(headerJournalPassword)), nil
}

// bufferedConn is a connection of which some was read already.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

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
		return nil, withCode(exitUnavailable, fmt.Errorf("open %s: %w; run this as the user that relay runs as", path, fs.ErrPermission))
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
		return nil, withCode(exitUnavailable, fmt.Errorf("ask the relay that runs on %s: it has stopped; try again", dir))
	}
	return resp, nil
}
