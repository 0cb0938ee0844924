package jetstream

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// How many records a second are written and read, with entries of 600 bytes. The server syncs every write, or as it does by default.
func TestSpeed(t *testing.T) {
	if os.Getenv("RELAY_JETSTREAM_SPEED") == "" {
		t.Skip("a measurement; set RELAY_JETSTREAM_SPEED=1")
	}
	config := filepath.Join(t.TempDir(), "always.conf")
	if err := os.WriteFile(config, []byte("jetstream {sync_interval: always}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sync := range []string{"default", "always"} {
		var args []string
		if sync == "always" {
			args = []string{"-c", config}
		}
		for _, n := range []int{1, 16, 64, 256, 1000} {
			for _, mode := range []string{"all at once", "batch", "pace"} {
				p := natstest.StartProgram(t, natsServer, args...)
				l := openOn(t, dial(t, p.URL()))
				i, began := 0, time.Now()
				for ; time.Since(began) < 1500*time.Millisecond; i += n {
					all := entries(i, i+n)
					for k := range all {
						all[k].Data = bytes.Repeat([]byte("x"), 600)
					}
					switch mode {
					case "all at once":
						l.tuner.never = true
					case "batch":
						l.tuner = batchTuner{single: costs{1 << 40}, batches: costs{1}}
					}
					appendAll(t, l, all)
				}
				fmt.Printf("sync %-8s %4d entries %-12s %8.0f/s\n", sync, n, mode, float64(i)/time.Since(began).Seconds())
				if n == 1000 && mode == "pace" {
					speedOfReading(t, l)
				}
				p.Kill()
			}
		}
	}
}

func speedOfReading(t *testing.T, l journal.Log) {
	for _, limit := range []int{64, 256, 1024, 2048} {
		began, next, n := time.Now(), uint64(1), 0
		for {
			records, err := l.Read(t.Context(), next, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			n += len(records)
			next = records[len(records)-1].Number + 1
		}
		fmt.Printf("read %d at most %d: %.0f/s\n", n, limit, float64(n)/time.Since(began).Seconds())
	}
}
