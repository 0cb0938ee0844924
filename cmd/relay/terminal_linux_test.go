package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// openTerminal opens a pseudo terminal: output to slave is read from master.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number int32
	for _, call := range []struct {
		request uintptr
		arg     *int32
	}{{syscall.TIOCSPTLCK, &unlock}, {syscall.TIOCGPTN, &number}} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), call.request, uintptr(unsafe.Pointer(call.arg))); errno != 0 {
			t.Fatal(errno)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// Control characters in a treat do not reach the terminal, whichever command prints it. In a pipe the text is unchanged.
func TestTerminalControlCharacters(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	const hostile = "\u009b2J\u202eevil\u2066\u200f"
	id := w.relay(exit.OK, "trigger", "--message", hostile, "--sender", "=1\u202e")
	p.out.find(t, "evil")
	var event struct{ ID string }
	if err := json.Unmarshal([]byte(id.out.text()), &event); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"history", "--json"}, {"history"}, {"export", "--origin", "test"}, {"export", "--origin", "test", "--format", "csv"}, {"trace", event.ID, "--json"},
	} {
		master, slave := openTerminal(t)
		read := make(chan []byte)
		go func() {
			var all bytes.Buffer
			_, _ = all.ReadFrom(master) // it ends with an error when the other end is closed
			read <- all.Bytes()
		}()
		cmd := exec.CommandContext(t.Context(), relayBinary(t), append(args, w.args()...)...)
		cmd.Env, cmd.Stdout = append(os.Environ(), w.env()...), slave
		if err := cmd.Run(); err != nil {
			t.Fatalf("relay %q: %v", args, err)
		}
		if err := slave.Close(); err != nil {
			t.Fatal(err)
		}
		text := string(<-read)
		if strings.ContainsAny(text, "\x1b\u009b\u202e\u2066\u200f") || !strings.Contains(text, "test") {
			t.Errorf("relay %q on a terminal: %q", args, text)
		}
		if args[0] != "trace" && len(args) > 1 && !strings.Contains(text, `\u009b2J\u202eevil\u2066\u200f`) {
			t.Errorf("relay %q does not show what is there: %q", args, text)
		}
	}
	if text := w.relay(exit.OK, "export", "--origin", "test").out.text(); !strings.Contains(text, hostile) {
		t.Errorf("in a pipe: %q", text)
	}
}
