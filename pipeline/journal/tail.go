package journal

import (
	"slices"
	"sync"
)

// The bounds of what the tail holds.
const (
	tailRecords = 16 << 10
	tailBytes   = 8 << 20
)

// tail holds the newest records in memory, for the lanes, which mostly want just those. They have consecutive numbers. The zero value is empty.
type tail struct {
	mu      sync.Mutex
	records []Record // some at the beginning may be dropped already
	from    int      // where the first one is that is not
	bytes   int
}

// add appends what was written. Numbers that others have written in between are not there to be read: then only what follows is held.
func (t *tail) add(records []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := cap(t.records) - len(t.records); left < len(records) {
		// Twice as much each time: the steps of append make three times as much rubbish until the tail is as large as it gets.
		t.records = slices.Grow(t.records, min(max(len(t.records), len(records)), max(2*tailRecords-len(t.records), len(records))))
	}
	for i := range records {
		r := &records[i]
		if n := len(t.records); n > t.from && t.records[n-1].Number+1 != r.Number {
			t.records, t.from, t.bytes = nil, 0, 0
		}
		t.records = append(t.records, *r)
		t.bytes += EntrySize(&r.Entry)
	}
	for t.from < len(t.records)-1 && (len(t.records)-t.from > tailRecords || t.bytes > tailBytes) {
		t.bytes -= EntrySize(&t.records[t.from].Entry)
		t.records[t.from] = Record{}
		t.from++
	}
	if t.from > tailRecords {
		left := copy(t.records, t.records[t.from:])
		clear(t.records[left:])
		t.records, t.from = t.records[:left], 0
	}
}

// read returns records from that number on, none if it does not hold that one.
func (t *tail) read(from uint64, limit int) []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.records[t.from:]
	if len(held) == 0 || from < held[0].Number || from > held[len(held)-1].Number {
		return nil
	}
	at := int(from - held[0].Number) //nolint:gosec // within the slice
	return slices.Clone(held[at:min(at+limit, len(held))])
}

// dropBefore lets go of the records before a number.
func (t *tail) dropBefore(first uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.from < len(t.records) && t.records[t.from].Number < first {
		t.bytes -= EntrySize(&t.records[t.from].Entry)
		t.records[t.from] = Record{}
		t.from++
	}
}
