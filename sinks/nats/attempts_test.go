package nats_test

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func TestNATSAttempts(t *testing.T) {
	p := sinktest.Running(t, "")
	var taken sinktest.Attempts
	sink, err := sinks.Open(t.Context(), sinktest.NATSConfig(t, p.URL()), sinks.Env{Name: "overlay", Log: zerolog.Nop(), Attempt: taken.Add})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	records := sinktest.Plain("mystream", 20)
	if n, err := sink.Deliver(t.Context(), records); n != 20 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	sinktest.WantAttempt(t, taken.Take(), records, "nats://"+p.Address, "")
	p.Kill()
	for n := 1; n > 0; { // what the server took before it died may still be answered
		n, err = sink.Deliver(t.Context(), records)
	}
	got := taken.Take()
	sinktest.WantAttempt(t, got[len(got)-1:], records[:1], "nats://"+p.Address, "publish event")
	if strings.Contains(err.Error()+got[len(got)-1].Error, sinktest.NATSPassword) {
		t.Error("the password is in the attempt")
	}
}
