package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The bounds of what a lane holds. They are large, so that the backlog of one account whose head is being retried does not use up the room of
// the others.
const (
	maxHeld      = 4096
	maxHeldBytes = 8 << 20
)

// A delivery is one event on its way.
type delivery struct {
	number uint64
	record pipeline.Record // belongs to its worker
	at     time.Time       // when it was journaled
	taken  time.Time
	heal   bool   // it is a mark of which the digest is still to be made
	aside  bool   // it stepped aside, and its time has come
	also   uint64 // another number that it settles: the record takes the place of that one, which is lost

	trouble *schedule.Retry // nil while the sink has not refused it; guarded by queues.mu
	tries                   // guarded by queues.mu

	size    int  // of its line; guarded, as what follows, by ledger.mu
	settled bool // or no more in hand
}

// tries are what became of an event since it is in hand.
type tries struct {
	probes     int    // attempts that were not answered
	before     uint64 // how many deliveries the destination had accepted at the first of them
	refusals   int    // see [pipeline.IsRefusal]
	accepted   uint64 // how many deliveries the destination had accepted after the latest of them
	compares   int    // how often others were tried in its place as it was refused
	comparedAt int    // how many refusals there were then
}

// ledger knows what a lane has not settled, and so its cursor.
type ledger struct {
	// inOrder is true for a lane with one queue whose destination is asked where to go on: what it has in hand is no part of the open
	// numbers, for the cursor does not pass it. So these are the events that stepped aside, and no others.
	inOrder bool
	changed func(settled int) // called after each change that the cursor shows, with how many deliveries are settled by it
	freed   chan struct{}     // holds a token when there is more room

	mu       sync.Mutex
	at       cursor.Place      // what is before it was taken
	held     []*delivery       // what was taken, in its order; some are settled
	live     int               // of these, that are not settled
	bytes    int               // of these
	aside    cursor.Numbers    // open numbers that are not in hand: they stepped aside, or are still to be read again
	missing  cursor.Numbers    // numbers that the journal had lost when the lane came there
	replaced map[uint64]uint64 // open numbers that are lost, and which open one takes their place
	instead  map[uint64]uint64 // numbers that are not settled and take the place of one that was missing, and which; nil: there are none
}

func newLedger(c journal.Cursor, inOrder bool, changed func(settled int)) *ledger {
	return &ledger{
		inOrder: inOrder, changed: changed, freed: make(chan struct{}, 1), at: cursor.Of(c),
		aside: slices.Clone(c.Open), missing: slices.Clone(c.Missing), replaced: make(map[uint64]uint64),
	}
}

// lost records numbers that the journal has lost, before what was read with them is taken.
func (l *ledger) lost(missing []journal.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, span := range missing {
		l.missing.Add(span)
	}
}

// take records what was read: the deliveries of events that the lane wants, and how far that was.
func (l *ledger) take(of []*delivery, at cursor.Place) {
	l.mu.Lock()
	for _, d := range of {
		l.hold(d)
	}
	if at.Next > l.at.Next {
		l.at = at
	}
	l.mu.Unlock()
	l.changed(0)
}

// hold puts a delivery in hand. l.mu is held.
func (l *ledger) hold(d *delivery) {
	l.held = append(l.held, d)
	l.live++
	d.size = len(d.record.Line)
	l.bytes += d.size
}

// takeBack puts an event in hand that was open before.
func (l *ledger) takeBack(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aside.Remove(d.number)
	if d.also != 0 {
		l.aside.Remove(d.also)
	}
	l.hold(d)
}

// open makes a number open that is not in hand: it waits for its retry.
func (l *ledger) open(number uint64) {
	l.mu.Lock()
	l.aside.AddOne(number)
	l.mu.Unlock()
	l.changed(0)
}

// lose says that an open number is lost: what takes its place will be delivered.
func (l *ledger) lose(number uint64) {
	l.mu.Lock()
	l.aside.Remove(number)
	l.missing.AddOne(number)
	l.mu.Unlock()
	l.changed(0)
}

// replaces says what becomes of an event that takes the place of number ref, which is lost. It reports true if the event is to be delivered: the lane
// has not got the lost one. If it still has that one in hand, or waits to try it again, the new one stays open until then.
func (l *ledger) replaces(ref, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missing.Remove(ref) {
		if l.instead == nil {
			l.instead = make(map[uint64]uint64)
		}
		l.instead[number] = ref
		return true
	}
	if ref >= l.at.Next {
		return true
	}
	l.pair(ref, number)
	return false
}

// waitsFor reports whether an open event that takes the place of number ref is to wait until that is settled. Otherwise it is to be delivered: had
// the lane settled the lost one, this would not be open.
func (l *ledger) waitsFor(ref, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing.Remove(ref)
	return l.pair(ref, number)
}

// pair makes number open until ref is settled, if that is open. l.mu is held.
func (l *ledger) pair(ref, number uint64) bool {
	open := l.aside.Holds(ref) || slices.ContainsFunc(l.held, func(d *delivery) bool { return !d.settled && (d.number == ref || d.also == ref) })
	if open {
		l.replaced[ref] = number
		l.aside.AddOne(number)
	}
	return open
}

// lacks reports whether the lane has not got a number because it was lost.
func (l *ledger) lacks(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missing.Holds(number)
}

// replacement is the number of the event that takes the place of an open one.
func (l *ledger) replacement(number uint64) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	by, ok := l.replaced[number]
	return by, ok
}

// setAside takes an event out of hand, which stays open.
func (l *ledger) setAside(d *delivery) {
	l.mu.Lock()
	l.aside.AddOne(d.number)
	if d.also != 0 {
		l.aside.AddOne(d.also)
	}
	if !d.aside {
		l.release(d)
	}
	l.mu.Unlock()
	l.changed(0)
}

// settle records that events are done. Their records are not to be used any more.
func (l *ledger) settle(of []*delivery) {
	l.mu.Lock()
	for _, d := range of {
		l.done(d.number, d.aside)
		if d.also != 0 {
			l.done(d.also, d.aside)
		}
		if !d.aside {
			l.release(d)
		}
		d.record = pipeline.Record{}
	}
	l.compact()
	l.mu.Unlock()
	l.changed(len(of))
}

// settleNumber records that a number which is not in hand is done.
func (l *ledger) settleNumber(number uint64) {
	l.mu.Lock()
	l.done(number, true)
	l.mu.Unlock()
	l.changed(0)
}

// done settles a number, and what takes its place. l.mu is held.
func (l *ledger) done(number uint64, aside bool) {
	if aside {
		l.aside.Remove(number)
	}
	delete(l.instead, number)
	if by, ok := l.replaced[number]; ok {
		delete(l.replaced, number)
		l.aside.Remove(by)
	}
}

// release takes a delivery out of hand. l.mu is held.
func (l *ledger) release(d *delivery) {
	if d.settled {
		return
	}
	d.settled = true
	l.live--
	l.bytes -= d.size
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// compact forgets what is settled. l.mu is held.
func (l *ledger) compact() {
	n := 0
	for n < len(l.held) && l.held[n].settled {
		l.held[n] = nil
		n++
	}
	l.held = l.held[n:]
	if len(l.held) > 2*l.live+64 {
		l.held = slices.DeleteFunc(slices.Clone(l.held), func(d *delivery) bool { return d.settled })
	}
}

// room is how many events, and how many bytes of them, the lane can take.
func (l *ledger) room() (events, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == 0 {
		return maxHeld, maxHeldBytes
	}
	return maxHeld - l.live, maxHeldBytes - l.bytes
}

// place is where the lane stands.
func (l *ledger) place() cursor.Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// apart is the cursor without what is in hand.
func (l *ledger) apart() journal.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return journal.Cursor{Next: l.at.Next, LastID: l.at.ID, LastTime: l.at.Time, Open: slices.Clone(l.aside), Missing: slices.Clone(l.missing)}
}

// restore sets what [ledger.apart] returned. What is in hand stays so.
func (l *ledger) restore(c journal.Cursor) {
	l.mu.Lock()
	l.at = cursor.Of(c)
	l.aside, l.missing = c.Open, c.Missing
	clear(l.replaced)
	l.mu.Unlock()
	l.changed(0)
}

// cursor is the lane's place as it is kept on disk, where the lane has taken what it wants of all that is before at, if that is further than it knows.
// exact says that what is in hand is to be among the open numbers in any case.
func (l *ledger) cursor(at cursor.Place, exact bool) journal.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Next < l.at.Next {
		at = l.at
	}
	open, own := l.aside, false
	for _, d := range l.held {
		if d.settled {
			continue
		}
		if l.inOrder && !exact {
			if d.number < at.Next {
				at = cursor.Place{Next: d.number, Time: d.at}
			}
			continue
		}
		if !own {
			open, own = slices.Clone(open), true
		}
		open.AddOne(d.number)
		if d.also != 0 {
			open.AddOne(d.also)
		}
	}
	missing := l.missing.Below(at.Next)
	for number, ref := range l.instead {
		if number >= at.Next && ref < at.Next { // whoever begins there reads it again, and is to know that it has not got that one
			missing.AddOne(ref)
		}
	}
	return journal.Cursor{
		Next: at.Next, LastID: at.ID, LastTime: at.Time, Open: open.Below(at.Next), Missing: missing,
	}
}

// inHand is how many events are in hand.
func (l *ledger) inHand() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live
}

// load is what the lane has in hand.
func (l *ledger) load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := Load{InFlight: l.live, Full: l.live >= maxHeld || l.bytes >= maxHeldBytes}
	for _, d := range l.held {
		if d.settled {
			continue
		}
		if load.Oldest.IsZero() || d.at.Before(load.Oldest) {
			load.Oldest = d.at
		}
		if load.Taken.IsZero() || d.taken.Before(load.Taken) {
			load.Taken = d.taken
		}
	}
	return load
}
