package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a child process that is measured.
type process struct {
	name   string
	cmd    *exec.Cmd
	began  time.Time
	stderr *tail
	done   chan struct{}
}

// start starts a process, which ends with stop or ctx. stdin and stdout may be nil.
func start(ctx context.Context, name string, stdin io.Reader, stdout io.Writer, env []string, command ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, command[0], command[1:]...), stderr: &tail{changed: make(chan struct{})}, done: make(chan struct{})} //nolint:gosec // a program of the benchmark
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, p.stderr
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState has the result
	}()
	return p, nil
}

// stop ends the emitter.
func (e *emitter) stop() {
	_ = e.stdin.Close()
	e.process.stop()
}

// stop ends the process, first with SIGTERM.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// await waits until the process has written text to stderr.
func (p *process) await(ctx context.Context, text string) error { return p.awaitTimes(ctx, text, 1) }

// awaitTimes waits until the process has written text to stderr that often.
func (p *process) awaitTimes(ctx context.Context, text string, times int) error {
	for {
		p.stderr.mu.Lock()
		found, changed := strings.Count(p.stderr.text.String(), text) >= times, p.stderr.changed
		p.stderr.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-changed:
		case <-p.done:
			return p.died()
		case <-ctx.Done():
			return fmt.Errorf("wait until %s writes %q: %w; its stderr:\n%s", p.name, text, context.Cause(ctx), p.stderr)
		}
	}
}

func (p *process) died() error {
	return fmt.Errorf("%s has ended by itself, %v; its stderr:\n%s", p.name, p.cmd.ProcessState, p.stderr)
}

// A tail keeps the end of a process's stderr.
type tail struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text.Len() < 1<<20 {
		t.text.Write(b)
	}
	close(t.changed)
	t.changed = make(chan struct{})
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.text.String()
	return text[max(0, len(text)-4000):]
}

// A cost is the resource usage of processes so far.
type cost struct {
	cpu  time.Duration
	rss  int64 // current bytes
	peak int64 // highest rss
	fds  int
}

// clockTick is the kernel's USER_HZ, in which /proc counts: 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// costs returns the total cost of the processes.
func costs(processes ...*process) (cost, error) {
	var sum cost
	for _, p := range processes {
		c, err := p.cost()
		if err != nil {
			return cost{}, fmt.Errorf("measure %s: %w", p.name, err)
		}
		sum.cpu += c.cpu
		sum.rss += c.rss
		sum.peak += c.peak
		sum.fds += c.fds
	}
	return sum, nil
}

func (p *process) cost() (cost, error) {
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // of our own child process
	if err != nil {
		return cost{}, err
	}
	// proc_pid_stat(5): after the name, which may hold spaces, utime and stime are the 12th and 13th field.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return cost{}, errors.New("/proc/PID/stat is short")
	}
	var c cost
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return cost{}, err
		}
		c.cpu += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(filepath.Join(dir, "status")) //nolint:gosec // of our own child process
	if err != nil {
		return cost{}, err
	}
	for line := range strings.Lines(string(status)) {
		for prefix, into := range map[string]*int64{"VmRSS:": &c.rss, "VmHWM:": &c.peak} {
			if value, ok := strings.CutPrefix(line, prefix); ok {
				kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				if err != nil {
					return cost{}, err
				}
				*into = kib << 10
			}
		}
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	c.fds = len(fds)
	return c, err
}

// freeAddress returns a free loopback address.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serve makes the server listen on a free port of a loopback address, and returns its URL. A server may listen on several.
func serve(ctx context.Context, server *http.Server, address string) (url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return "", err
	}
	server.ReadHeaderTimeout = time.Minute
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return "http://" + l.Addr().String(), nil
}

// An emitter is the Socket.IO server that sends the treats.
type emitter struct {
	*process
	port    int
	stdin   io.WriteCloser
	answers *bufio.Reader
}

func (b *bench) startEmitter(ctx context.Context, port int) (*emitter, error) {
	var pipes [4]*os.File // both ends of stdin, then of stdout
	for i := 0; i < len(pipes); i += 2 {
		var err error
		if pipes[i], pipes[i+1], err = os.Pipe(); err != nil { //nolint:gosec // there are four
			return nil, err
		}
	}
	p, err := start(ctx, "the emitter", pipes[0], pipes[3], nil, b.node, filepath.Join(b.peers, "emitter.js"), "--port", strconv.Itoa(port))
	_, _ = pipes[0].Close(), pipes[3].Close()
	if err != nil {
		return nil, err
	}
	e := &emitter{process: p, stdin: pipes[1], answers: bufio.NewReader(pipes[2])}
	var hello struct{ Port int }
	if err := e.answer(&hello); err != nil {
		p.stop()
		return nil, err
	}
	e.port = hello.Port
	return e, nil
}

func (e *emitter) url() string { return fmt.Sprintf("http://127.0.0.1:%d", e.port) }

func (e *emitter) answer(into any) error {
	line, err := e.answers.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the emitter's answer: %w; its stderr:\n%s", err, e.stderr)
	}
	return json.Unmarshal(line, into)
}

// tell sends the emitter a command and waits for its answer.
func (e *emitter) tell(command map[string]any, into any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := e.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send a command to the emitter: %w", err)
	}
	var raw json.RawMessage
	if err := e.answer(&raw); err != nil {
		return err
	}
	var answer struct {
		OK    bool
		Error string
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if !answer.OK {
		return fmt.Errorf("the emitter: %s", answer.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// emit makes the emitter send count treats to every connection, and waits until they are written. rate is per second; 0
// means as fast as possible.
func (e *emitter) emit(count, rate int) error {
	return e.tell(map[string]any{"cmd": "emit", "count": count, "rate": rate}, nil)
}

// greet makes the emitter send a treat to each new connection at once.
func (e *emitter) greet() error { return e.tell(map[string]any{"cmd": "greet"}, nil) }

// connections waits until n connections are open. It fails if one of the processes that open them ends.
func (e *emitter) connections(ctx context.Context, n int, from ...*process) error {
	for {
		var report struct{ Connections int }
		if err := e.tell(map[string]any{"cmd": "report"}, &report); err != nil {
			return err
		}
		if report.Connections >= n {
			return nil
		}
		for _, p := range from {
			select {
			case <-p.done:
				return p.died()
			default:
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for %d connections: %w; %d are open", n, context.Cause(ctx), report.Connections)
		}
	}
}
