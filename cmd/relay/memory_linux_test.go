package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// lineCounter counts lines without keeping them.
type lineCounter struct{ n atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

// peakMemory returns the resident memory that a process has used at most, in KiB.
func peakMemory(t *testing.T, p *process) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// Treats of nearly 1 MiB arrive as fast as the server can send. Relay's queues are bounded in bytes, so that it fits a small container, and the
// server has to wait.
func TestLargeTreatsFitASmallContainer(t *testing.T) {
	const count, mostMiB = 400, 200
	w := newWorld(t, npmRealtime("2"))
	w.configure(func(s *settings) { delete(s.Sinks, "bot") })
	w.login()
	out := new(lineCounter)
	p := prepareRelay(t, w.args()...)
	p.cmd.Stdout = out
	p.start(w.env())
	w.connected()
	treat, err := json.Marshal(map[string]any{
		"cmd": "emit", "event": "realTimeTreat", "times": count,
		"args": []any{map[string]any{"sender": "Viewer", "title": "Pizza", "message": strings.Repeat("large ", 1_000_000/6), "date_created": "2026-07-16 21:00:00"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.live.(*npmServer).in.Write(append(treat, '\n')); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := out.n.Load(); n != count {
			return fmt.Errorf("%d treats on stdout, want %d", n, count)
		}
		return nil
	})
	kib := peakMemory(t, p)
	t.Logf("%d MiB of resident memory at most", kib>>10)
	if kib > mostMiB<<10 {
		t.Errorf("%d MiB of resident memory, want at most %d", kib>>10, mostMiB)
	}
	p.stop()
}
