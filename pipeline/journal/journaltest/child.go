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

// task is what a child process is to do.
type task struct {
	Test  string `json:"test"`
	Place string `json:"place"`
	From  int    `json:"from"` // the step it begins with
	Seed  uint64 `json:"seed"`
}

// childTask returns what to do, if this process is the child of a test that is under way in another.
func childTask(t *testing.T) (task, bool) {
	t.Helper()
	var j task
	text := os.Getenv(childEnv)
	if text == "" || json.Unmarshal([]byte(text), &j) != nil {
		return j, false
	}
	return j, j.Test == t.Name()
}

// say hands a line to the parent.
func report(format string, args ...any) {
	line := linePrefix + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(os.Stdout, line) //nolint:forbidigo // the pipe to the parent; it is gone if the parent is
}

// child is a process that runs this test too.
type child struct {
	cmd   *exec.Cmd
	lines chan string // what it says; closed when it has ended
	rest  strings.Builder
}

// startChild runs the calling test in a process of its own, with a task.
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

// exactly is the pattern of one test.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + part + "$"
	}
	return strings.Join(parts, "/")
}

// drain returns what the child has said up to now.
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

// ending ends a child in some way. It returns what the child had said that was not read yet, and apart from it what it said when it was too late to
// count on it.
type ending func(*child) (said, late []string)

// byKill kills the child. What it had said before counts.
func byKill(c *child) (said, late []string) { return c.kill(), nil }

// byPowerCut cuts the power of the child's disk, and lets it return when the child has ended. A sync that is under way when the power goes may seem to
// succeed (jbd2 forgets the transactions of an aborted journal), which no process lives to see otherwise: what is said from then on does not count.
func byPowerCut(disk *disktest.Disk) ending {
	return func(c *child) (said, late []string) {
		said = c.drain()
		disk.Cut()
		late = c.wait()
		disk.Return()
		return said, late
	}
}

// kill ends the child at once and returns what it had said that was not read yet.
func (c *child) kill() []string {
	_ = c.cmd.Process.Kill() // it may have ended
	return c.wait()
}

// wait returns what the child says until it ends.
func (c *child) wait() []string {
	var lines []string
	for line := range c.lines {
		lines = append(lines, line)
	}
	_ = c.cmd.Wait() // how it ended shows in what it said
	return lines
}
