//go:build unix

package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// After a reload the status line has the new numbers; a reload that ends while relay stops does not replace what the stop has reported.
func TestServiceManagerStatus(t *testing.T) {
	dir, err := os.MkdirTemp("", "relay-notify-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)

	receiving := map[string]*accountRunner{"a": {source: &source{name: "a"}}, "other": {}}
	m := &serviceManager{log: zerolog.New(zerolog.NewTestWriter(t))}
	m.ready(runners{accounts: receiving, sinks: map[string]*sinkRunner{"bot": nil}})
	m.reloaded(runners{accounts: receiving, sinks: map[string]*sinkRunner{"bot": nil, "chat": nil}})
	m.stop()
	m.reloaded(runners{})
	m.alive()
	for _, want := range []string{
		"READY=1\nSTATUS=receives from 1 accounts, delivers to 1 sinks",
		"STATUS=receives from 1 accounts, delivers to 2 sinks",
		"STOPPING=1\nSTATUS=delivers what it has received",
		"WATCHDOG=1",
	} {
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer)
		if got := string(buffer[:n]); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
