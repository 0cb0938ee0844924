package sinktest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// embedded is a server inside the process, reached through pipes that can be stalled.
type embedded struct {
	dir string
	box *inbox

	mu  sync.Mutex
	now *server.Server
}

func (e *embedded) start(t *testing.T) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: e.dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the embedded server does not start")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = s
}

func (e *embedded) stop() {
	e.mu.Lock()
	s := e.now
	e.mu.Unlock()
	s.Shutdown()
	s.WaitForShutdown()
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.now
	e.mu.Unlock()
	if !s.Running() {
		return nil, fmt.Errorf("the server is down")
	}
	c, err := s.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &stallingConn{Conn: c, box: e.box}, nil
}

// stallingConn does not write while its box is shut, as a connection whose peer does not read. It keeps to deadlines.
type stallingConn struct {
	net.Conn
	box      *inbox
	deadline atomic.Pointer[time.Time]
}

func (c *stallingConn) SetWriteDeadline(d time.Time) error {
	c.deadline.Store(&d)
	return c.Conn.SetWriteDeadline(d)
}

func (c *stallingConn) Write(p []byte) (int, error) {
	for c.box.isShut() {
		if d := c.deadline.Load(); d != nil && !d.IsZero() && time.Now().After(*d) {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(time.Millisecond)
	}
	return c.Conn.Write(p)
}

// EmbeddedDestination is a server in this process, as relay runs one itself.
func EmbeddedDestination(t *testing.T) *Destination {
	t.Helper()
	e := &embedded{dir: t.TempDir(), box: newInbox()}
	e.start(t)
	connect := func(context.Context) (*nats.Conn, error) {
		return nats.Connect("", nats.InProcessServer(e), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
			nats.ReconnectBufSize(-1), nats.FlusherTimeout(2*time.Second)) // as relay connects to its own server
	}
	return &Destination{
		Config: sinks.NewConfig("nats"), Nats: connect, Once: true,
		Arrived: func(t *testing.T) []Arrival {
			t.Helper()
			nc, err := connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			return Stored(t, nc, "TREATS")
		},
		Hang: e.box.hang,
		Outage: func(t *testing.T) func() {
			t.Helper()
			e.stop()
			return func() { e.start(t) }
		},
		End: func() {
			e.box.set(false)
			e.stop()
		},
	}
}

// Stored reads a stream from its beginning.
func Stored(t *testing.T, nc *nats.Conn, name string) []Arrival {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var all []Arrival
	for count := int(s.CachedInfo().State.Msgs); len(all) < count; {
		batch, err := consumer.Fetch(min(count-len(all), 500), jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			all = append(all, Arrival{m.Headers().Get("Nats-Msg-Id"), string(m.Data())})
		}
		if batch.Error() != nil {
			t.Fatal(batch.Error())
		}
	}
	return all
}

// built is the nats-server this module depends on, built once a run.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "relay-nats-server")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nats-server")
	out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nats-server: %w: %s", err, out)
	}
	builtIn = dir
	return path, nil
})

var builtIn string

// RemoveBuilt removes the server program, if a test has built it.
func RemoveBuilt() error {
	if builtIn == "" {
		return nil
	}
	return os.RemoveAll(builtIn)
}

// The passwords of the users of a [Process].
const (
	NATSPassword = "planted-nats-password"
	NATSLimited  = "planted-limited-password"
)

// Process is a server in a process of its own.
type Process struct {
	binary, Config, Address string
	base                    string // the configuration without its users
	cmd                     *exec.Cmd
}

// NewProcess writes a configuration; more is added to it.
func NewProcess(t testing.TB, more string) *Process {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &Process{binary: binary, Config: filepath.Join(dir, "server.conf"), Address: FreeAddress(t)}
	p.base = fmt.Sprintf("listen: %q\njetstream: {store_dir: %q}\n%s\n", p.Address, filepath.Join(dir, "store"), more)
	config := p.base
	if !strings.Contains(more, "authorization") {
		config += fmt.Sprintf("authorization: {user: relay, password: %q}\n", NATSPassword)
	}
	if err := os.WriteFile(p.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts the server and waits until it answers.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.binary, "-c", p.Config)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		c, err := net.Dial("tcp", p.Address)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nats-server does not start")
}

// Signal sends the process a signal.
func (p *Process) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
}

// Kill ends the process, as a crash does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// URL is where the sink connects to, with its login.
func (p *Process) URL() string { return p.URLFor("relay", NATSPassword) }

// URLFor is the address of the server with another login.
func (p *Process) URLFor(user, password string) string {
	return "nats://" + user + ":" + password + "@" + p.Address
}

// Stored reads a stream from its beginning.
func (p *Process) Stored(t *testing.T, stream string) []Arrival {
	t.Helper()
	nc, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	return Stored(t, nc, stream)
}

// NATSConfig is a configuration with its defaults and a url.
func NATSConfig(t *testing.T, url string) *natssink.Config {
	t.Helper()
	config, ok := sinks.NewConfig("nats").(*natssink.Config)
	if !ok {
		t.Fatal("no nats configuration")
	}
	config.URL = secret.New(url)
	return config
}

// Connect logs in as another user.
func (p *Process) Connect(t *testing.T, user, password string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("nats://"+p.Address, nats.UserInfo(user, password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Running starts a server process that ends with the test.
func Running(t *testing.T, more string) *Process {
	t.Helper()
	p := NewProcess(t, more)
	p.Start(t)
	t.Cleanup(p.Kill)
	return p
}

// Client is a connection of the test's own.
func Client(t *testing.T, p *Process) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
