//go:build unix

package nats_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// BenchmarkPublish publishes events of 600 bytes, handed over as a lane does, a thousand at a time of a hundred accounts: to the server within
// relay, and to one in a process of its own, whose share of the CPU is not in cpu-ns/op. A second of it is the sink alone; what is
// flushed to disk meanwhile is part of it.
func BenchmarkPublish(b *testing.B) {
	b.Run("embedded", func(b *testing.B) {
		server, err := natsserver.Start(b.Context(), natsserver.Config{Dir: b.TempDir(), Log: zerolog.Nop()})
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		publishAll(b, sinks.NewConfig("nats"), sinks.Env{Name: "overlay", NATS: server.Connect, NATSStore: server})
	})
	b.Run("process", func(b *testing.B) {
		p := sinktest.NewProcess(b, "")
		p.Start(b)
		b.Cleanup(p.Kill)
		config, ok := sinks.NewConfig("nats").(*natssink.Config)
		if !ok {
			b.Fatal("no nats configuration")
		}
		config.URL = secret.New(p.URL())
		publishAll(b, config, sinks.Env{Name: "overlay"})
	})
}

func publishAll(b *testing.B, config sinks.Config, env sinks.Env) {
	sink, err := sinks.Open(b.Context(), config, env)
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	lane := func(records []pipeline.Record) {
		for len(records) > 0 {
			n, err := sink.Deliver(b.Context(), records)
			if n == 0 && !strings.Contains(err.Error(), "not connected") {
				b.Fatal(err)
			}
			records = records[n:]
		}
	}
	lane(sinktest.Plain("first", 1))
	records := make([]pipeline.Record, 1000)
	for i := range records {
		records[i] = sinktest.Record(fmt.Sprintf("account%d", i%100), i, strings.Repeat("x", 190))
	}
	b.SetBytes(int64(len(records[0].Line)))
	b.ReportAllocs()
	began := cpu(b)
	b.ResetTimer()
	for done := 0; done < b.N; {
		n := min(len(records), b.N-done)
		for i := range records[:n] {
			records[i].Seq = uint64(done + i + 1)
			records[i].ID = fmt.Sprintf("trt_%020d", done+i)
		}
		lane(records[:n])
		done += n
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
