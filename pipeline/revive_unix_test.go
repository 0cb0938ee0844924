//go:build unix

package pipeline

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A disk that takes nothing more for a while, played by a limit on the size of files: what comes in meanwhile waits, and is
// journaled and delivered when there is room again, without a restart of relay.
func TestFullDisk(t *testing.T) {
	if !inChild(t) {
		return
	}
	const n = 600
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	var sink box
	r.lane(&sink, LaneConfig{})
	r.send(in, 0, 50)
	r.holds(&sink, "acc", wantTitles(0, 50))

	room := limitFiles(t, 64<<10)
	r.send(in, 50, n)
	r.eventually(func() error {
		if r.metric("relay_journal_write_failures_total") < 1 {
			return errNothingAccepted
		}
		return nil
	})
	time.Sleep(time.Second)
	if got := r.metric("relay_events_journaled_total"); got == n {
		t.Fatal("the limit has no effect")
	}
	room()
	r.holds(&sink, "acc", wantTitles(0, n))
	if diff := cmp.Diff(wantTitles(0, n), titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// limitFiles lets this process write no file beyond size, until the returned function is called.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	hit := make(chan os.Signal, 1)
	signal.Notify(hit, syscall.SIGXFSZ) // else it would end the process
	t.Cleanup(func() { signal.Stop(hit) })
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	lift = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(lift)
	return lift
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
