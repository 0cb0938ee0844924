// Package natstest runs a real nats-server process for tests, which can be killed and started again.
package natstest

import (
	"bufio"
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

// Server is a nats-server with JetStream on a loopback port and in a folder of its own, both kept over restarts.
type Server struct {
	t    *testing.T
	bin  string
	args []string
	addr string

	mu   sync.Mutex
	cmd  *exec.Cmd
	logs chan struct{} // closed when the process has closed its log
}

// Start builds nats-server from the module this one depends on, and runs it with these further arguments until the test
// ends.
func Start(t *testing.T, args ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{t: t, bin: filepath.Join(dir, "nats-server")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil { //nolint:gosec // a test's own folder
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{"-js", "-sd", filepath.Join(dir, "data"), "-a", host, "-p", port}, args...)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// URL is where clients connect.
func (s *Server) URL() string { return "nats://" + s.addr }

// Restart starts the server again after [Server.Kill], and waits until it is ready.
func (s *Server) Restart() {
	s.t.Helper()
	cmd := exec.Command(s.bin, s.args...) //nolint:gosec,noctx // the program built above; Kill ends it
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
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
	case <-logs:
		s.t.Fatal("nats-server ended at its start")
	case <-time.After(30 * time.Second):
		s.t.Fatal("nats-server is not ready within 30 s")
	}
}

// Kill ends the server at once, as kill -9 does. It may be called on a server that has ended.
func (s *Server) Kill() { s.end((*os.Process).Kill) }

// Stop lets the server write what it has and end.
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
