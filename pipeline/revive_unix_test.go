//go:build unix

package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/disktest"
)

// A disk that takes nothing more for a while, played by a limit on the size of files: what comes in meanwhile waits, and is
// journaled and delivered when there is room again, without a restart of relay.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	const n = 600
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	var sink box
	r.lane(&sink, LaneConfig{})
	r.send(in, 0, 50)
	r.holds(&sink, "acc", wantTitles(0, 50))

	room := disktest.Fill(t, 64<<10)
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
