package journal

import (
	"context"

	"github.com/treatrelay/relay/pipeline"
)

// The bounds of the memory that detects repeated puts.
const (
	recentIDs  = 64 << 10
	recentTail = 16 << 10 // numbers that a process reads back before its first put
)

// recent remembers the IDs and numbers of entries that were put recently, since a writer that did not learn the outcome
// puts them again. The zero value has not read the journal yet. The writer's lock guards it.
type recent struct {
	through uint64 // the journal was read up to here; 0: not yet
	numbers map[string]uint64
	order   []string // a ring
	next    int      // next index to overwrite
}

// remembered reports whether an entry may be put twice. Treats and rejects may not: there are many, and their writers
// know what is journaled.
func remembered(e *Entry) bool {
	return e.Kind != Reject && (e.Kind != Treat || e.Origin == pipeline.OriginTest)
}

// find returns the number of an entry that this or another process wrote recently.
func (r *recent) find(ctx context.Context, j *Journal, id string) (number uint64, known bool, err error) {
	first, next := j.cfg.Log.Bounds()
	from := max(r.through+1, first)
	if next > recentTail && from < next-recentTail {
		from = next - recentTail
	}
	for record, err := range Scan(ctx, j, from, next) {
		if err != nil {
			return 0, false, err
		}
		r.note(record)
	}
	r.through = max(r.through, next-1)
	number, known = r.numbers[id]
	return number, known, nil
}

// note remembers a record.
func (r *recent) note(record *Record) {
	if record.Number == r.through+1 && r.through > 0 { // otherwise the records in between are not read yet
		r.through = record.Number
	}
	if !remembered(&record.Entry) {
		return
	}
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
