package nats_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestNATSMemory publishes events of 1 MiB at full speed to the server in this process, and checks that peak memory
// stays below 200 MiB.
func TestNATSMemory(t *testing.T) {
	if sinktest.Raced {
		t.Skip("the race detector takes several times the memory")
	}
	if !disktest.InChild(t) {
		return
	}
	server, err := natsserver.Start(t.Context(), natsserver.Config{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("nats"), sinks.Env{Name: "overlay", NATS: server.Connect, NATSStore: server})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	large := sinktest.Record("mystream", 0, strings.Repeat("x", 1<<20-1000))
	var all sync.WaitGroup
	for account := range 4 {
		records := make([]pipeline.Record, 100)
		for i := range records {
			records[i] = large
			records[i].ID = fmt.Sprintf("trt_%d_%d", account, i)
		}
		all.Go(func() { lane(t, sink, records) })
	}
	all.Wait()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			t.Logf("%d MiB", kib>>10)
			if kib > 200<<10 {
				t.Errorf("%d MiB were used at a time", kib>>10)
			}
			return
		}
	}
	t.Error("no VmHWM")
}
