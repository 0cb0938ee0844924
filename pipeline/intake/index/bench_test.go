package index

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

// fill makes a log of n events of so many accounts, of the last ten minutes, with its index.
func (r *rig) fill(n, accounts int) {
	r.t.Helper()
	names := make([]string, accounts)
	for i := range names {
		names[i] = fmt.Sprintf("account%d", i)
	}
	begin := time.Now().Add(-10 * time.Minute)
	entries, records := make([]journal.Entry, 0, 1000), make([]journal.Record, 0, 1000)
	for i := range n {
		at := begin.Add(time.Duration(i) * 10 * time.Minute / time.Duration(n))
		title, sender, date := "Pizza", fmt.Sprint("viewer", i), at.UTC().Format(time.DateTime)
		d := dish(names[i%accounts], title, 0)
		d.Sender, d.DateCreated = &sender, &date
		entries = append(entries, entryOf(&d, 0, at))
		if len(entries) < cap(entries) && i < n-1 {
			continue
		}
		numbers, err := r.log.Append(r.t.Context(), entries)
		if err != nil {
			r.t.Fatal(err)
		}
		for i := range entries {
			records = append(records, journal.Record{Number: numbers[i], Entry: entries[i]})
		}
		r.ix.Committed(records)
		entries, records = entries[:0], records[:0]
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOpen opens the index of a journal of so many events, all of the last ten minutes, and finds one.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1_000_000, 5_000_000} {
		for _, accounts := range []int{1, 1000} {
			b.Run(fmt.Sprintf("events=%d/accounts=%d", n, accounts), func(b *testing.B) {
				r := &rig{t: b, dir: b.TempDir(), cfg: Config{Logger: zerolog.Nop(), limit: runRecords}}
				r.open()
				defer r.close()
				r.fill(n, accounts)
				r.closeIndex()
				d := dish("account0", "nothing", 0)
				f := fingerprint.Of(&d)
				before := heapBytes()
				b.ReportAllocs()
				for b.Loop() {
					r.openIndex()
					r.find("account0", &f)
					b.StopTimer()
					if got := r.ix.Count(); got != n {
						b.Fatalf("%d treats, want %d", got, n)
					}
					b.ReportMetric(float64(heapBytes()-before)/(1<<20), "MiB-held")
					r.closeIndex()
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkRebuild makes the index of a journal of a million events again.
func BenchmarkRebuild(b *testing.B) {
	const n = 1_000_000
	r := &rig{t: b, dir: b.TempDir(), cfg: Config{Logger: zerolog.Nop(), limit: runRecords}}
	r.open()
	defer r.close()
	r.fill(n, 10)
	for b.Loop() {
		b.StopTimer()
		if err := r.ix.reset(); err != nil {
			b.Fatal(err)
		}
		r.closeIndex()
		b.StartTimer()
		r.openIndex()
		if got := r.ix.Count(); got != n {
			b.Fatalf("%d treats, want %d", got, n)
		}
	}
}
