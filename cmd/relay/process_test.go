package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

const patience = 60 * time.Second

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	if err := poll(check); err != nil {
		t.Fatal(err)
	}
}

// poll calls check until it returns nil, and returns its last error if it never does.
func poll(check func() error) (err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return nil
		}
	}
	return err
}

// freePort returns a port that nobody listens on. It is below the ephemeral ports: the system could give one of those to a client or
// another listener before relay uses it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// lines collects what a process writes, line by line.
type lines struct {
	mu   sync.Mutex
	all  []string
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.all = append(l.all, string(line))
		l.rest = append([]byte(nil), rest...)
	}
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func (l *lines) text() string { return strings.Join(l.get(), "\n") }

func (l *lines) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
}

// find waits for a line that contains part.
func (l *lines) find(t *testing.T, part string) string {
	t.Helper()
	var found string
	eventually(t, func() error {
		for _, line := range l.get() {
			if strings.Contains(line, part) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("no line with %q in:\n%s", part, l.text())
	})
	return found
}

// process is a program that the test runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err *lines
	done     chan struct{}
}

// newProcess returns a program that is not started yet. Its output goes to out, unless the test sets cmd.Stdout, and err.
func newProcess(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), out: new(lines), err: new(lines), done: make(chan struct{})}
	p.cmd.Stdout = p.out
	return p
}

// startRelay runs the built binary with these arguments. A simulation without a configuration gets one, which keeps it off the default port.
func startRelay(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	if slices.Contains(args, "--simulate") && !slices.Contains(args, "--config") {
		file := filepath.Join(t.TempDir(), "relay.yaml")
		if err := os.WriteFile(file, []byte("http: {listen: '127.0.0.1:0'}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	p := prepareRelay(t, args...)
	p.start(env)
	return p
}

// prepareRelay returns the built binary with these arguments, to be started.
func prepareRelay(t *testing.T, args ...string) *process {
	t.Helper()
	return newProcess(t, relayBinary(t), args...)
}

func (p *process) start(env []string) {
	t := p.t
	t.Helper()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("relay does not end:\n%s", p.err.text())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop asks relay to stop and checks for exit code 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		p.t.Fatalf("exit code %d after SIGTERM:\n%s", code, p.err.text())
	}
}

// reload makes relay load its configuration again, and waits for the log message.
func (p *process) reload(said string) {
	p.t.Helper()
	before := strings.Count(p.err.text(), said)
	p.signal(syscall.SIGHUP)
	p.awaitCount(said, before+1)
}

func (p *process) awaitCount(said string, n int) {
	p.t.Helper()
	eventually(p.t, func() error {
		if got := strings.Count(p.err.text(), said); got < n {
			return fmt.Errorf("%q is said %d times, want %d, in:\n%s", said, got, n, p.err.text())
		}
		return nil
	})
}

// interrupt stops a command that runs until Ctrl-C, and checks for exit code 0.
func (p *process) interrupt() {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != exit.OK {
		p.t.Errorf("exit code %d after Ctrl-C:\n%s", code, p.err.text())
	}
}

func startProgram(t *testing.T, command, env []string) *process {
	t.Helper()
	p := newProcess(t, command[0], command[1:]...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", command, p.err.text())
		}
	})
	p.start(env)
	return p
}

// atLeast waits until l has n lines.
func atLeast(t *testing.T, what string, l *lines, n int) []string {
	t.Helper()
	eventually(t, func() error {
		if got := len(l.get()); got < n {
			return fmt.Errorf("%s: %d lines, want at least %d", what, got, n)
		}
		return nil
	})
	return l.get()
}
