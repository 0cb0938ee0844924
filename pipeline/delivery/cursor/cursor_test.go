package cursor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Whatever byte of the file is flipped, cut or removed: one of the two slots is still read, or none, but never something else.
func TestSlotFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursors")
	f := slotFile{path: path}
	values := []string{"one", strings.Repeat("two", 100), strings.Repeat("three", 3000), "four", "five"}
	for i, value := range values {
		must(t, f.write([]byte(value), uint64(i+1), true))
		got, generation, err := readSlots(path)
		if err != nil || string(got) != value || generation != uint64(i+1) {
			t.Fatalf("%d bytes of generation %d, %v", len(got), generation, err)
		}
	}
	f.close()
	whole, err := os.ReadFile(path)
	must(t, err)
	end := f.size + int64(slotHeader) + 10
	for at := range end {
		for name, data := range map[string][]byte{
			"flipped": slices.Concat(whole[:at], []byte{whole[at] ^ 1}, whole[at+1:]), "removed": slices.Delete(slices.Clone(whole), int(at), int(at)+1), "cut": whole[:at],
		} {
			if at > 600 && at < f.size-10 && at%97 != 0 {
				continue
			}
			must(t, os.WriteFile(path, data, 0o600))
			got, generation, err := readSlots(path)
			if err == nil && (generation < 4 || generation > 5 || string(got) != values[generation-1]) || err != nil && name != "cut" {
				t.Fatalf("byte %d %s: %q of generation %d, %v", at, name, got, generation, err)
			}
		}
	}
}

// What is not synced is written over, and not over what was synced last.
func TestSlotFileNotSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursors")
	f := slotFile{path: path}
	generation := uint64(0)
	for i, sync := range []bool{true, true, false, false, true, false, false, false} {
		generation++
		must(t, f.write(fmt.Append(nil, i), generation, sync))
		if got, _, err := readSlots(path); err != nil || string(got) != fmt.Sprint(i) {
			t.Fatalf("%q, %v, want %d", got, err, i)
		}
	}
	data, err := os.ReadFile(path)
	must(t, err)
	copy(data[f.next*f.size:], "torn by a power cut")
	must(t, os.WriteFile(path, data, 0o600))
	if got, _, err := readSlots(path); err != nil || string(got) != "4" {
		t.Errorf("%q, %v, want what was synced last", got, err)
	}
	f.close()
}

// FuzzCursors reads anything as cursors.
func FuzzCursors(f *testing.F) {
	end := Position{Next: 77, ID: "trt_1", Time: time.Unix(1, 2)}
	c := journal.Cursor{Next: 12, LastID: "trt_2", LastTime: time.Unix(3, 4), Open: []journal.Range{{First: 2, Last: 3}, {First: 9, Last: 9}}, Missing: []journal.Range{{First: 5, Last: 6}}}
	b := appendLane(header(nil, end), "box", &c, false, true)
	f.Add(appendLane(b, "idle", &c, true, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		end, cursors, err := parseCursors(data, 5)
		if err != nil {
			return
		}
		again := header(nil, end)
		for sink, c := range cursors {
			again = appendLane(again, sink, &c, false, true)
		}
		_, same, err := parseCursors(again, 5)
		if err != nil || fmt.Sprint(same) != fmt.Sprint(cursors) {
			t.Errorf("%v, then %v, %v", cursors, same, err)
		}
	})
}

// The set of numbers does as one that is made of single numbers.
func TestNumbers(t *testing.T) {
	var set Numbers
	single := make(map[uint64]bool)
	for i := range uint64(5000) {
		n := i*7919%97 + 1
		switch i % 3 {
		case 0, 1:
			last := n + i%4
			set.Add(journal.Range{First: n, Last: last})
			for k := n; k <= last; k++ {
				single[k] = true
			}
		default:
			if set.Remove(n) != single[n] {
				t.Fatalf("%d was in: %v", n, single[n])
			}
			delete(single, n)
		}
		if !set.valid() || set.count() != uint64(len(single)) {
			t.Fatalf("%v, want %d numbers", set, len(single))
		}
		for k := range uint64(105) {
			if set.Contains(k) != single[k] {
				t.Fatalf("%v holds %d: %v", set, k, set.Contains(k))
			}
		}
		below := set.Below(n)
		if below.Contains(n) || n > 1 && below.Contains(n-1) != single[n-1] {
			t.Fatalf("%v below %d: %v", set, n, below)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
