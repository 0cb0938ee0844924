package delivery

import (
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// interest is what of the journal concerns a lane at all. Its rules decide further.
type interest struct {
	sink     string
	accounts []string // empty: all
}

// holds reports whether a record concerns the lane.
func (i *interest) holds(r *journal.Record) bool {
	switch r.Kind {
	case journal.Treat, journal.Backfill:
		return len(i.accounts) == 0 || slices.Contains(i.accounts, r.Account)
	case journal.Resend:
		return r.Sink == i.sink
	default:
		return false
	}
}

// feed is where the reader hands records to a lane that is at the journal's end. When the lane has no room for them it falls behind: the reader
// leaves it alone, and it reads by itself until it has caught up.
type feed struct {
	interest interest
	room     func() (events, bytes int) // of the lane, beside what is in the feed
	ready    chan struct{}              // holds a token when there is something to take, or the lane has fallen behind

	pending []*journal.Record // what the reader is about to hand over; belongs to it

	mu       sync.Mutex
	attached bool
	from     cursor.Place // what is before it the lane has read by itself
	portion
	inHand portion // which the lane has taken, and not yet recorded
}

// A portion is what a lane is handed at once.
type portion struct {
	records []*journal.Record
	bytes   int
	missing []journal.Span
	at      cursor.Place // behind them
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

// put hands to the lane what concerns it from one place to another. It reports false if there is no room: then the lane has fallen behind there.
func (f *feed) put(records []*journal.Record, missing []journal.Span, from, to cursor.Place) bool {
	events, bytes := f.room()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wake()
	size := 0
	for _, r := range records {
		size += len(r.Data)
	}
	has := len(f.records) + len(f.inHand.records)
	alone := has == 0 && events >= maxHeld && len(records) <= 1 // it is taken however large it is
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

// take takes what was handed over. The lane says with [feed.done] when that is recorded. attached is false when it has fallen behind: at is where it has
// to read on then.
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

// idle reports whether the lane has recorded all that was handed over, and is at the journal's end.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.attached && f.empty() && f.inHand.empty()
}

// place is where a lane that has fallen behind has to read on.
func (f *feed) place() cursor.Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// setPlace says how far a lane that has fallen behind has read by itself.
func (f *feed) setPlace(at cursor.Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}
