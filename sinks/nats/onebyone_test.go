package nats_test

import (
	"testing"
	"time"

	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// After a record was not accepted the next ones go one at a time, until one is: a stream that is there again in the middle of many would get the last of them first.
func TestNATSGoesOneByOneAfterAFailure(t *testing.T) {
	d := sinktest.EmbeddedDestination(t)
	defer d.End()
	sink, err := sinks.Open(t.Context(), d.Config, sinks.Env{Name: "overlay", NATS: d.Nats})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	records := sinktest.Plain("mystream", 60)
	if n, err := sink.Deliver(t.Context(), records[:20]); n != 20 {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	restore := d.Outage(t)
	if n, err := sink.Deliver(t.Context(), records[20:40]); n != 0 || err == nil {
		t.Fatalf("Deliver while the server is down = %d, %v", n, err)
	}
	restore()
	n, deadline := 0, time.Now().Add(time.Minute)
	for n == 0 && time.Now().Before(deadline) {
		n, err = sink.Deliver(t.Context(), records[20:])
		time.Sleep(10 * time.Millisecond)
	}
	if n != 1 {
		t.Fatalf("the first Deliver that succeeds = %d, %v, want 1", n, err)
	}
	if n, err := sink.Deliver(t.Context(), records[21:]); n != 39 {
		t.Errorf("the next one = %d, %v, want 39", n, err)
	}
}
