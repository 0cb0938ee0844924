//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/internal/natstest"
)

// serviceManager listens on a notification socket, as systemd does.
func serviceManager(t *testing.T) (path string, said *lines) {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay-notify-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	said, done := new(lines), make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			said.add([]byte(strings.ReplaceAll(string(buffer[:n]), "\n", " ")))
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return path, said
}

// alive counts the watchdog notifications.
func alive(said *lines) (n int) {
	for _, line := range said.get() {
		if line == "WATCHDOG=1" {
			n++
		}
	}
	return n
}

// staysAlive waits for more of them.
func staysAlive(t *testing.T, said *lines) {
	t.Helper()
	before := alive(said)
	eventually(t, func() error {
		if n := alive(said) - before; n < 3 {
			return fmt.Errorf("alive %d times in:\n%s", n, said.text())
		}
		return nil
	})
}

// Relay notifies the service manager when it is ready, that it is alive, and when it stops.
func TestServiceManagerNotifications(t *testing.T) {
	path, said := serviceManager(t)
	p := startRelay(t, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=50000"}, "--simulate", "--sink", "stdout")
	said.find(t, "READY=1 STATUS=receives from 1 accounts, delivers to 1 sinks")
	p.err.find(t, "relay runs")
	staysAlive(t, said)
	p.stop()
	said.find(t, "STOPPING=1 STATUS=delivers what it has received")
	if first := said.get()[0]; !strings.HasPrefix(first, "READY=1") {
		t.Errorf("the first thing said is %q", first)
	}
}

// Without a watchdog relay notifies only of its start and end. A watchdog of another process does not count.
func TestServiceManagerWithoutAWatchdog(t *testing.T) {
	path, said := serviceManager(t)
	p := startRelay(t, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=2000", "WATCHDOG_PID=1"}, "--simulate", "--sink", "stdout", "--rate", "50")
	eventually(t, func() error {
		if n := len(p.out.get()); n < 20 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	p.stop()
	said.find(t, "STOPPING=1")
	if n := alive(said); n > 0 {
		t.Errorf("said to be alive %d times", n)
	}
}

// A missing service manager does not stop relay.
func TestServiceManagerMissing(t *testing.T) {
	p := startRelay(t, []string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "none")}, "--simulate", "--sink", "stdout", "--log-format", "json")
	p.err.find(t, "check NOTIFY_SOCKET")
	p.err.find(t, "relay runs")
	p.stop()
}

// After a reload a service manager shows the new number of sinks.
func TestServiceManagerAfterAReload(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	path, said := serviceManager(t)
	p := startRelay(t, append(w.env(), "NOTIFY_SOCKET="+path), w.args()...)
	w.connected()
	said.find(t, "READY=1 STATUS=receives from 1 accounts, delivers to ")
	before := 0
	if _, err := fmt.Sscanf(said.get()[0], "READY=1 STATUS=receives from 1 accounts, delivers to %d sinks", &before); err != nil {
		t.Fatal(err)
	}
	w.addSink("second", webhookTo(newReceiver(t).server.URL))
	p.reload("configuration loaded again")
	said.find(t, fmt.Sprintf("STATUS=receives from 1 accounts, delivers to %d sinks", before+1))
	p.stop()
}

// A relay whose journal server does not answer holds treats in memory. A restart would lose
// them, so it stays alive.
func TestServiceManagerWhileTheJournalIsDown(t *testing.T) {
	server := natstest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.onServer(server.URL())
	w.login()
	path, said := serviceManager(t)
	// Longer than the timeout of a write.
	p := startRelay(t, append(w.env(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=8000000"), w.args()...)
	w.connected()
	server.Freeze()
	w.live.emit(0, 10)
	p.err.find(t, "journal cannot be written")
	staysAlive(t, said)
	server.Thaw()
	holds(t, "stdout", p.out, 0, 10)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.err.text())
	}
}
