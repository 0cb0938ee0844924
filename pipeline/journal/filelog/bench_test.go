package filelog

import (
	"bytes"
	"fmt"
	"testing"
)

// benchSize returns the size of n entries of about 600 bytes, and a function that appends them.
func benchSize(b *testing.B, n int) (int64, func(l *Log)) {
	b.Helper()
	group := entries(1, n)
	for i := range group {
		group[i].Data = bytes.Repeat([]byte("x"), 560)
	}
	return int64(n * 600), func(l *Log) {
		if _, err := l.Append(b.Context(), group); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newRig(b, 0).open()
			defer l.Close()
			size, store := benchSize(b, n)
			b.SetBytes(size)
			b.ReportAllocs()
			total := 0
			for b.Loop() {
				store(l)
				total += n
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	l := newRig(b, 0).open()
	defer l.Close()
	_, store := benchSize(b, 1000)
	for range 300 {
		store(l)
	}
	for _, limit := range []int{1, 100, 1000, 10000} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			b.ReportAllocs()
			total, from := 0, uint64(1)
			for b.Loop() {
				records, err := l.Read(b.Context(), from, limit)
				if err != nil {
					b.Fatal(err)
				}
				total += len(records)
				from += uint64(len(records))
				if from > 300_000 || len(records) == 0 {
					from = 1
				}
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkOpen opens a log of two million records.
func BenchmarkOpen(b *testing.B) {
	r := newRig(b, 0)
	l := r.open()
	_, store := benchSize(b, 1000)
	for range 2000 {
		store(l)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l := r.open()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
