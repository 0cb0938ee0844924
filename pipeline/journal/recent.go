package journal

import (
	"context"
	"sync"
)

// The bounds of what is remembered of entries that may be put twice.
const (
	recentIDs  = 64 << 10
	recentTail = 16 << 10 // numbers that a process reads back at its first put
)

// recent remembers the IDs of entries that were put lately, beside treats and rejects: their writers put them again when they did not hear
// of the first time. The zero value has not read the journal yet.
type recent struct {
	mu      sync.Mutex
	read    bool
	numbers map[string]uint64
	order   []string // a ring
	next    int      // where it is overwritten
}

// find returns the number of an entry that was written before.
func (r *recent) find(ctx context.Context, j *Journal, e *Entry) (number uint64, known bool, err error) {
	if e.Kind == Treat || e.Kind == Reject || e.ID == "" {
		return 0, false, nil
	}
	r.mu.Lock()
	read := r.read
	r.mu.Unlock()
	if !read {
		first, next := j.log.Bounds()
		if next-first > recentTail {
			first = next - recentTail
		}
		for at := first; at < next; {
			records, err := j.Read(ctx, at, maxBatch)
			if err != nil {
				return 0, false, err
			}
			if len(records) == 0 {
				break
			}
			for i := range records {
				r.note(&records[i])
			}
			at = records[len(records)-1].Number + 1
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = true
	number, known = r.numbers[e.ID]
	return number, known, nil
}

func (r *recent) note(record *Record) {
	if record.Kind == Treat || record.Kind == Reject {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.numbers == nil {
		r.numbers = make(map[string]uint64)
	}
	if _, known := r.numbers[record.ID]; known {
		return
	}
	if len(r.order) < recentIDs {
		r.order = append(r.order, record.ID)
	} else {
		delete(r.numbers, r.order[r.next])
		r.order[r.next] = record.ID
		r.next = (r.next + 1) % recentIDs
	}
	r.numbers[record.ID] = record.Number
}
