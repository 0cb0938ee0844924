package delivery

import (
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// interest describes the records that a lane may need. Its rules decide further.
type interest struct {
	sink     string
	accounts []string // empty: all
}

// matches reports whether a lane may need a record.
func (i *interest) matches(r *journal.Record) bool {
	switch r.Kind {
	case journal.Treat, journal.Backfill:
		return len(i.accounts) == 0 || slices.Contains(i.accounts, r.Account)
	case journal.Resend:
		return r.Sink == i.sink
	default:
		return false
	}
}

// feed passes records from the reader to a lane that is at the journal's end. If the lane has no room, it falls behind:
// then it reads by itself until it has caught up.
type feed struct {
	interest interest
	room     func() (events, bytes int) // free room of the lane, not counting the feed
	ready    chan struct{}              // signals that there is something to take, or that the lane has fallen behind

	pending []*journal.Record // what the reader is about to pass on; owned by the reader

	mu       sync.Mutex
	attached bool
	from     cursor.Position // the lane has read everything before it by itself
	portion
	inHand portion // taken by the lane and not recorded yet
}

// A portion is a batch of records for a lane.
type portion struct {
	records []*journal.Record
	bytes   int
	missing []journal.Range
	at      cursor.Position // the position after them
}

func (p *portion) empty() bool { return len(p.records)+len(p.missing) == 0 }

func newFeed(i interest, room func() (events, bytes int)) *feed {
	return &feed{interest: i, room: room, ready: make(chan struct{}, 1)}
}

func (f *feed) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// put passes to the lane the records from one position to another that it may need. It reports false if there is no room:
// then the lane has fallen behind.
func (f *feed) put(records []*journal.Record, missing []journal.Range, from, to cursor.Position) bool {
	events, bytes := f.room()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wake()
	size := 0
	for _, r := range records {
		size += len(r.Data)
	}
	has := len(f.records) + len(f.inHand.records)
	alone := has == 0 && events >= maxHeld && len(records) <= 1 // taken regardless of its size
	if has+len(records) > events || f.bytes+f.inHand.bytes+size > bytes && !alone {
		if f.at = from; from.Next < f.from.Next {
			f.at = f.from
		}
		f.attached = false
		return false
	}
	f.records = append(f.records, records...)
	f.bytes += size
	f.missing = append(f.missing, missing...)
	f.at = to
	return true
}

// take takes the pending records. The lane calls [feed.done] once that is recorded. attached is false if the lane has
// fallen behind; then at is where it must read on.
func (f *feed) take() (p portion, attached bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, f.portion = f.portion, portion{at: f.at}
	f.inHand = p
	return p, f.attached
}

func (f *feed) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inHand = portion{}
}

// idle reports whether the lane has recorded everything and is at the journal's end.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.attached && f.empty() && f.inHand.empty()
}

// position returns where a lane that has fallen behind must read on.
func (f *feed) position() cursor.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// setPosition sets how far a lane that has fallen behind has read.
func (f *feed) setPosition(at cursor.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}
