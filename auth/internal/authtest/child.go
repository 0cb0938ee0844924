package authtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const errandVariable = "RELAY_AUTH_TEST_ERRAND"

// Child is a child process: the test binary, run again with TestChild only.
type Child struct {
	Err *Log // its standard error

	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// Send starts a child. Its TestChild reads the task with [ChildTask].
func Send(t *testing.T, task any, env ...string) *Child {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	c := &Child{t: t, cmd: exec.CommandContext(t.Context(), binary, "-test.run=^TestChild$"), lines: make(chan string, 1000), Err: &Log{}} //nolint:gosec // It is this binary.
	c.cmd.Env = append(append(os.Environ(), errandVariable+"="+string(text)), env...)
	c.cmd.Stderr = c.Err
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-read
		_ = c.cmd.Wait()
	})
	return c
}

// ChildTask decodes the task of this process into task. It reports false in the parent.
func ChildTask(t *testing.T, task any) bool {
	t.Helper()
	text := os.Getenv(errandVariable)
	if text == "" {
		return false
	}
	if err := json.Unmarshal([]byte(text), task); err != nil {
		t.Fatal(err)
	}
	return true
}

// Expect reads up to a line that begins with word, and returns the rest of that line.
func (c *Child) Expect(word string) string {
	c.t.Helper()
	for line := range c.lines {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			return rest
		}
	}
	c.t.Fatalf("the child ended without a line %q:\n%s", word, c.Err)
	return ""
}

// GoOn lets the child continue after [Pause].
func (c *Child) GoOn() { _, _ = io.WriteString(c.in, "\n") }

// Rest waits for the child to end and returns its remaining lines.
func (c *Child) Rest() []string {
	var all []string
	for line := range c.lines {
		all = append(all, line)
	}
	return all
}

// Kill ends the child at once.
func (c *Child) Kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
}

// Wait waits until the child has ended.
func (c *Child) Wait() { _ = c.cmd.Wait() }

// PID returns the process ID.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Pause tells the parent that the child has reached this point, and waits for [Child.GoOn].
func Pause() {
	fmt.Println("ready .")                            //nolint:forbidigo // The streams of a child of a test are its own.
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') //nolint:forbidigo // The streams of a child of a test are its own.
}
