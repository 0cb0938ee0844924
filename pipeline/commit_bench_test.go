package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// BenchmarkCommit writes events to an embedded journal in batches of one size, each acknowledged when it is on disk. Compare
// ns/event between the sizes of one run.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 2, 4, 8, 16, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := StartServer(b.Context(), ServerConfig{Dir: b.TempDir(), Log: zerolog.Nop()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			nc, err := s.Journal(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			j, err := OpenJournal(b.Context(), JournalConfig{Conn: nc, Retention: time.Hour, Log: zerolog.Nop(), Metrics: NewMetrics(prometheus.NewRegistry())})
			if err != nil {
				b.Fatal(err)
			}
			norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.UTC}
			n, events := uint64(0), 0
			for b.Loop() {
				for range size {
					treats, err := decodeTreats(payload(int(n)))
					if err != nil {
						b.Fatal(err)
					}
					e, _ := norm.normalize(&treats[0], time.Now())
					e.ID = NewID(e.Time, NewKey(&e.Data), n)
					if err := j.append(b.Context(), &e, n); err != nil {
						b.Fatal(err)
					}
					n++
				}
				batch := make([]entry, 0, size)
				for range size {
					batch = append(batch, <-j.queue)
				}
				if _, err := j.commit(b.Context(), batch, size > 1); err != nil {
					b.Fatal(err)
				}
				events += size
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}
