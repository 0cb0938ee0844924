//go:build unix

package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// relay status tells a relay that does not answer from one that does not run, even if a killed relay left its socket.
func TestStatusWithoutAnAnswer(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.signal(syscall.SIGSTOP)
	if text := w.relay(exit.Unavailable, "status").err.text(); strings.Count(text, "ask the relay that runs on") != 1 || !strings.Contains(text, "no answer within") {
		t.Errorf("while it hangs: %s", text)
	}
	w.relay(exit.Failure, "status", "--quiet")
	p.signal(syscall.SIGKILL)
	p.exit()
	if text := w.relay(exit.Unavailable, "status").err.text(); !strings.Contains(text, "no relay runs on") {
		t.Errorf("after it was killed: %s", text)
	}
	w.relay(exit.Unavailable, "status", "--quiet")
}
