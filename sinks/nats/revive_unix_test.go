//go:build unix

package nats_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// A disk that was full, played by a limit on the size of files, while only the sink's stream wrote to it: the sink goes on by
// itself when there is room again.
func TestNATSAfterAFullDisk(t *testing.T) {
	if !disktest.InChild(t) {
		return
	}
	server, err := natsserver.Start(t.Context(), natsserver.Config{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	config, ok := sinks.NewConfig("nats").(*natssink.Config)
	if !ok {
		t.Fatal("no nats configuration")
	}
	natssink.SetAnswerTimeout(config, 2*time.Second)
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "overlay", NATS: server.Connect, NATSStore: server, Revive: server.Revive})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()

	lift := disktest.Fill(t, 32<<10)
	records := sinktest.Plain("mystream", 300)
	accepted := 0
	for accepted < len(records) {
		n, err := sink.Deliver(t.Context(), records[accepted:])
		if accepted += n; err != nil {
			if !strings.Contains(err.Error(), "free some space") {
				t.Errorf("the error does not say what to do: %v", err)
			}
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
