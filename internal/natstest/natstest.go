// Package natstest runs real nats-server processes for tests, which can kill, freeze and restart them. Start reading at
// [Start].
package natstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a nats-server with JetStream on a loopback port and in its own folder. Both stay the same across restarts.
type Server struct {
	t    *testing.T
	bin  string
	dir  string
	args []string
	addr string

	mu   sync.Mutex
	cmd  *exec.Cmd
	logs chan struct{} // closed at the end of the process's log
}

// Start builds nats-server from the module that this one depends on, and runs it with extra arguments until the test
// ends.
func Start(t *testing.T, args ...string) *Server {
	t.Helper()
	bin, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return StartProgram(t, bin, args...)
}

// Build builds nats-server in a folder, to be run by several servers.
func Build(ctx context.Context, dir string) (bin string, err error) {
	bin = filepath.Join(dir, "nats-server")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil { //nolint:gosec // the test's own folder
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return bin, nil
}

// StartProgram is like [Start] with a binary from [Build].
func StartProgram(t *testing.T, bin string, args ...string) *Server {
	t.Helper()
	s := newServer(t, bin, args...)
	s.Restart()
	return s
}

func newServer(t *testing.T, bin string, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, bin: bin, dir: filepath.Join(t.TempDir(), "data"), addr: freeAddr(t)}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{"-js", "-sd", s.dir, "-a", host, "-p", port}, args...)
	t.Cleanup(s.Kill)
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// StartCluster runs a cluster of that many servers.
func StartCluster(t *testing.T, bin string, nodes int, args ...string) []*Server {
	t.Helper()
	routes := make([]string, nodes)
	for i := range routes {
		routes[i] = "nats://" + freeAddr(t)
	}
	servers := make([]*Server, nodes)
	errs := make([]error, nodes)
	var starting sync.WaitGroup
	for i := range servers {
		s := newServer(t, bin, append([]string{
			"-n", fmt.Sprintf("node%d", i+1), "--cluster_name", "test", "--cluster", routes[i], "--routes", strings.Join(routes, ","),
		}, args...)...)
		servers[i] = s
		starting.Go(func() { errs[i] = s.start() })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return servers
}

// URL returns the URL for clients.
func (s *Server) URL() string { return "nats://" + s.addr }

// Addr returns the host and port of [Server.URL].
func (s *Server) Addr() string { return s.addr }

// Dir returns the folder of the server's streams.
func (s *Server) Dir() string { return s.dir }

// Restart starts the server again after [Server.Kill] and waits until it is ready.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) start() error {
	cmd := exec.Command(s.bin, s.args...) //nolint:gosec,noctx // the program built above; Kill ends it
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	ready, logs := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(logs)
		seen := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), "Server is ready") {
				seen()
			}
		}
	}()
	s.mu.Lock()
	s.cmd, s.logs = cmd, logs
	s.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-logs:
		return errors.New("nats-server ended at its start")
	case <-time.After(30 * time.Second):
		return errors.New("nats-server is not ready within 30 s")
	}
}

// Reload makes the server read its configuration again.
func (s *Server) Reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
	}
}

// Kill kills the server like kill -9. It may have ended already.
func (s *Server) Kill() { s.end((*os.Process).Kill) }

// Stop shuts the server down cleanly.
func (s *Server) Stop() { s.end(func(p *os.Process) error { return p.Signal(syscall.SIGINT) }) }

func (s *Server) end(how func(*os.Process) error) {
	s.mu.Lock()
	cmd, logs := s.cmd, s.logs
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = how(cmd.Process) // it may have ended
	<-logs
	_ = cmd.Wait() // of no interest: it was told to end
}
