package journaltest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/treatrelay/relay/internal/disktest"
)

const (
	childEnv   = "RELAY_JOURNALTEST_CHILD"
	linePrefix = "journaltest: "
)

// task is a task for a child process.
type task struct {
	Test  string `json:"test"`
	Place string `json:"place"`
	From  int    `json:"from"` // the first step
	Seed  uint64 `json:"seed"`
}

// childTask returns the task of this process. It reports false if this process is not a child.
func childTask(t *testing.T) (task, bool) {
	t.Helper()
	var j task
	text := os.Getenv(childEnv)
	if text == "" || json.Unmarshal([]byte(text), &j) != nil {
		return j, false
	}
	return j, j.Test == t.Name()
}

// report sends a line to the parent.
func report(format string, args ...any) {
	line := linePrefix + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(os.Stdout, line) //nolint:forbidigo // the pipe to the parent; an error means that the parent is gone
}

// child is a child process that runs the same test.
type child struct {
	cmd   *exec.Cmd
	lines chan string // its output; closed when it has ended
	rest  strings.Builder
}

// startChild runs the calling test in a child process, with a task.
func startChild(t *testing.T, j task) *child {
	t.Helper()
	j.Test = t.Name()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run="+exactly(t.Name()), "-test.count=1") //nolint:gosec // the test binary itself
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: make(chan string, 1<<16)}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if line, ok := strings.CutPrefix(scan.Text(), linePrefix); ok {
				c.lines <- line
			} else {
				c.rest.WriteString(scan.Text() + "\n")
			}
		}
	}()
	return c
}

// exactly returns a pattern that matches only the given test.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + part + "$"
	}
	return strings.Join(parts, "/")
}

// drain returns the child's output that was not read yet.
func (c *child) drain() (lines []string) {
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

// ending ends a child in some way. It returns the child's output that was not read yet: certain is reliable, late may
// not be.
type ending func(*child) (certain, late []string)

// byKill kills the child. All its output is reliable.
func byKill(c *child) (certain, late []string) { return c.kill(), nil }

// byPowerCut cuts the power of the child's disk, and restores it when the child has ended. A sync during the power cut
// may seem to succeed (jbd2 drops the transactions of an aborted journal), which no process would survive to report in a
// real power cut. So output from then on is not reliable.
func byPowerCut(disk *disktest.Disk) ending {
	return func(c *child) (certain, late []string) {
		certain = c.drain()
		disk.Cut()
		late = c.wait()
		disk.Return()
		return certain, late
	}
}

// kill kills the child and returns its output that was not read yet.
func (c *child) kill() []string {
	_ = c.cmd.Process.Kill() // it may have ended
	return c.wait()
}

// wait waits until the child has ended, and returns its remaining output.
func (c *child) wait() []string {
	var lines []string
	for line := range c.lines {
		lines = append(lines, line)
	}
	_ = c.cmd.Wait() // its output shows how it ended
	return lines
}
