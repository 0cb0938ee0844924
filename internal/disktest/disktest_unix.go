//go:build unix

package disktest

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// InChild runs the calling test in a child process. It reports true in that process and false in the parent. Otherwise
// the limit would also hit what the test's own tools write.
func InChild(t *testing.T) bool {
	t.Helper()
	const mark = "RELAY_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // the test binary itself
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}

// Fill limits the files of this process to size bytes, until the returned function is called or the test ends.
func Fill(t *testing.T, size uint64) (free func()) {
	t.Helper()
	hit := make(chan os.Signal, 1)
	signal.Notify(hit, syscall.SIGXFSZ) // otherwise it would end the process
	t.Cleanup(func() { signal.Stop(hit) })
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := before
	full.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	free = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(free)
	return free
}
