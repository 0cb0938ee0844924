//go:build unix

package sinks_test

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// A disk that was full, played by a limit on the size of files, while only the sink's stream wrote to it: the sink goes on by
// itself when there is room again.
func TestNATSAfterAFullDisk(t *testing.T) {
	if !inChild(t) {
		return
	}
	server, err := pipeline.StartServer(t.Context(), pipeline.ServerConfig{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sink, err := sinks.NewConfig("nats").Open(t.Context(), sinks.Env{Name: "overlay", NATS: server.Overlay, Revive: server.Revive})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()

	hit := make(chan os.Signal, 1)
	signal.Notify(hit, syscall.SIGXFSZ) // else it would end the process
	defer signal.Stop(hit)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := before
	full.Cur = 32 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	lift := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	defer lift()
	records := plain("mystream", 300)
	accepted := 0
	for accepted < len(records) {
		n, err := sink.Deliver(t.Context(), records[accepted:])
		if accepted += n; err != nil {
			break
		}
	}
	if accepted == len(records) {
		t.Fatal("the limit has no effect")
	}
	lift()
	for deadline := time.Now().Add(time.Minute); accepted < len(records); {
		n, err := sink.Deliver(t.Context(), records[accepted:])
		if accepted += n; n == 0 && time.Now().After(deadline) {
			t.Fatalf("%d of %d accepted, then: %v", accepted, len(records), err)
		}
		if n == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// inChild runs the test in a process of its own and reports false, or true in that process. The limit on the size of
// files would hit what the test's own tools write.
func inChild(t *testing.T) bool {
	t.Helper()
	const mark = "RELAY_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}
