package match

import (
	"fmt"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

// BenchmarkMatch compares a month of treats with as many that relay has.
func BenchmarkMatch(b *testing.B) {
	const n = 100_000
	begin := time.Now().Add(-30 * 24 * time.Hour).Unix()
	for name, tt := range map[string]struct {
		pause  float64 // seconds between two treats
		late   int64   // by which the history's dates are off
		missed int     // of each ten
		alike  bool
	}{
		"same": {25, 0, 0, false}, "a second late": {25, 1, 0, false}, "alike and late": {1, 1, 1, true},
		"all of a minute, late": {60. / n, 2, 1, false}, "all alike, of a minute": {60. / n, 2, 1, true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				var treats []history.Treat
				var owns []ownTreat
				for i := range n {
					sender, title := fmt.Sprint("viewer", i), "Tea"
					if tt.alike {
						sender = "viewer"
					}
					f := fingerprint.Of(&pipeline.Data{Sender: &sender, Title: &title})
					at := begin + int64(float64(i)*tt.pause)
					treats = append(treats, history.Treat{Fingerprint: f, Same: fingerprint.Identity{Content: f.Content + uint64(tt.late), Second: at + tt.late}})
					if i%10 >= tt.missed {
						owns = append(owns, ownTreat{same: fingerprint.Identity{Content: f.Content, Second: at}, core: f.Core, age: time.Hour})
					}
				}
				c := New(treats, time.UTC)
				for i := range owns {
					c.add(&owns[i])
				}
				b.StartTimer()
				c.Match()
				if got := len(c.Missing()); got != n*tt.missed/10 {
					b.Fatalf("%d are missing, want %d", got, n*tt.missed/10)
				}
			}
		})
	}
}
