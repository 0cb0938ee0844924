package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
)

// The journal on another server, which is killed and comes back meanwhile: nothing is lost, doubled or out of order.
func TestJournalOnAnExternalServer(t *testing.T) {
	const n = 1500
	p := natstest.Start(t)
	conn, err := nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn)
	in := r.intake("acc")
	var sink box
	_, stop := r.lane(&sink, LaneConfig{})
	for from := 0; from < n; from += 500 {
		r.send(in, from, from+500)
		if from == 500 {
			p.Kill()
			r.send(in, 1500, 1700) // while it is away
			p.Restart()
		}
	}
	want := append(append(wantTitles(0, 1000), wantTitles(1500, 1700)...), wantTitles(1000, 1500)...)
	r.holds(&sink, "acc", want)
	if diff := cmp.Diff(want, titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if err := stop(true); err != nil {
		t.Error(err)
	}
}
