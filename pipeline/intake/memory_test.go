package intake

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/history"
)

// manyTreats is a reply of n treats of about size bytes each, made while it is read.
func manyTreats(n, size int) history.Reply {
	message := strings.Repeat("x", size)
	i := -1
	var text bytes.Buffer
	return reading{read: func(p []byte) (int, error) {
		for ; text.Len() < len(p) && i <= n; i++ {
			switch {
			case i < 0:
				text.WriteString(`{"treats":[`)
			case i == n:
				text.WriteString(`]}`)
			default:
				if i > 0 {
					text.WriteByte(',')
				}
				at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC).Add(-time.Duration(i) * time.Second)
				fmt.Fprintf(&text, `{"sender":"s%d","title":"t","message":%q,"date_created":%q}`, i, message, at.Format(time.DateTime))
			}
		}
		return text.Read(p)
	}}
}

// A reading is a reply that is read once.
type reading struct {
	io.ReaderAt // nil
	read        func(p []byte) (int, error)
}

func (r reading) Read(p []byte) (int, error) { return r.read(p) }

func (reading) Close() error { return nil }

// A reply of 100,000 treats is never in memory: what is kept of a treat is small.
func TestHistoryInBoundedMemory(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	within := history.Bounds{Zone: time.UTC, Newest: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}
	list, err := history.Read(t.Context(), manyTreats(n, 250), within) // about 34 MB
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison(list.Treats, time.UTC)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(c.treats) != n {
		t.Fatalf("%d treats, want %d", len(c.treats), n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 24<<20 {
		t.Errorf("%d treats take %d bytes of memory", n, grown)
	}
	runtime.KeepAlive(c)
}
