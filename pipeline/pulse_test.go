package pipeline

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// The committer is stuck while one step does not end, and only then.
func TestJournalIsStuckWhileAStepDoesNotEnd(t *testing.T) {
	r := newRig(t, t.TempDir())
	if stuck := r.journal.Stuck(); stuck != 0 {
		t.Errorf("stuck for %v with nothing to do", stuck)
	}
	in, out := make(chan struct{}), make(chan struct{})
	msg := nats.NewMsg(knownSubject + "acc")
	if err := r.journal.enqueue(t.Context(), entry{msg: msg, account: "acc", wrote: func() { close(in); <-out }}); err != nil {
		t.Fatal(err)
	}
	<-in
	earlier := r.journal.Stuck()
	time.Sleep(time.Millisecond)
	if later := r.journal.Stuck(); later <= earlier || earlier <= 0 {
		t.Errorf("stuck for %v, then for %v", earlier, later)
	}
	close(out)
	for deadline := time.Now().Add(time.Minute); r.journal.Stuck() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("stuck for ever")
		}
	}
}
