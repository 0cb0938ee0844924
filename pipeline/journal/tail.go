package journal

import (
	"sort"
	"sync"
)

// The bounds of the tail.
const (
	tailRecords = 16 << 10
	tailBytes   = 8 << 20
	// tailWhole is the number of records of one append that are returned without a copy.
	tailWhole = 16
)

// tail holds the newest records in memory, which is where lanes mostly read. Their numbers are consecutive. The zero
// value is empty.
type tail struct {
	mu      sync.Mutex
	appends [][]Record // in order, none empty; the records are shared with readers and immutable
	records int
	bytes   int
}

// add appends written records, and keeps the slice. If others have written in between, it drops what came before.
func (t *tail) add(records []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := records; len(rest) > 0; {
		n, next := 0, rest[0].Number
		for n < len(rest) && rest[n].Number == next {
			n, next = n+1, next+1
		}
		t.put(rest[:n])
		rest = rest[n:]
	}
	for len(t.appends) > 1 && (t.records > tailRecords || t.bytes > tailBytes) {
		t.drop(len(t.appends[0]))
	}
}

// put adds records with consecutive numbers. t.mu is held.
func (t *tail) put(records []Record) {
	if n := len(t.appends); n > 0 {
		if last := t.appends[n-1]; last[len(last)-1].Number+1 != records[0].Number {
			t.appends, t.records, t.bytes = nil, 0, 0
		}
	}
	t.appends = append(t.appends, records)
	t.records += len(records)
	t.bytes += sizeOf(records)
}

// drop removes the first n records, all of the first append. t.mu is held.
func (t *tail) drop(n int) {
	first := t.appends[0]
	t.records -= n
	t.bytes -= sizeOf(first[:n])
	t.appends[0] = first[n:]
	if n == len(first) {
		t.appends[0] = nil
		t.appends = t.appends[1:]
	}
}

func sizeOf(records []Record) (bytes int) {
	for i := range records {
		bytes += EntrySize(&records[i].Entry)
	}
	return bytes
}

// read returns records from a number on, or none if it does not hold that number. They are read-only.
func (t *tail) read(from uint64, limit int) []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.appends), func(i int) bool { return t.appends[i][len(t.appends[i])-1].Number >= from })
	if i == len(t.appends) || from < t.appends[i][0].Number {
		return nil
	}
	part := t.appends[i][from-t.appends[i][0].Number:]
	if len(part) >= min(limit, tailWhole) {
		return part[:min(limit, len(part)):min(limit, len(part))]
	}
	room := len(part)
	for _, more := range t.appends[i+1:] {
		if room += len(more); room >= limit {
			break
		}
	}
	records := append(make([]Record, 0, min(room, limit)), part...)
	for _, more := range t.appends[i+1:] {
		if len(records) == limit {
			break
		}
		records = append(records, more[:min(len(more), limit-len(records))]...)
	}
	return records
}

// dropBefore removes the records before a number.
func (t *tail) dropBefore(first uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.appends) > 0 && t.appends[0][0].Number < first {
		oldest := t.appends[0]
		t.drop(min(len(oldest), int(first-oldest[0].Number))) //nolint:gosec // no append has 2^63 records
	}
}
