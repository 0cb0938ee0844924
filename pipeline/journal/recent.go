package journal

import (
	"context"

	"github.com/treatrelay/relay/pipeline"
)

// The bounds of what is remembered of entries that may be put twice.
const (
	recentIDs  = 64 << 10
	recentTail = 16 << 10 // numbers that a process reads back at its first put
)

// recent remembers the IDs of entries that were put lately, with their numbers: their writers put them again when they did not hear
// of the first time. The zero value has not read the journal yet. It is guarded by the writer's lock.
type recent struct {
	through uint64 // the journal is read up to here; 0: not yet
	numbers map[string]uint64
	order   []string // a ring
	next    int      // where it is overwritten
}

// remembered reports whether an entry may be put twice. Treats and rejects are not: there are many, and their writers know what is journaled.
func remembered(e *Entry) bool {
	return e.Kind != Reject && (e.Kind != Treat || e.Origin == pipeline.OriginTest)
}

// find returns the number of an entry that was written before, by whomever.
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
	if record.Number == r.through+1 && r.through > 0 { // else the numbers in between are still to be read
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
