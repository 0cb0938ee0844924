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

// The bounds of what a lane holds. They are large, so that the backlog of one account with a failing event does not use
// up the room of others.
const (
	maxHeld      = 4096
	maxHeldBytes = 8 << 20
)

// A delivery is an event that is being delivered.
type delivery struct {
	number   uint64
	record   pipeline.Record // owned by its worker
	at       time.Time       // when it was journaled
	taken    time.Time
	batch    bool   // a backfill batch whose digest is not made yet
	deferred bool   // it was deferred and is due
	replaced uint64 // another number that it settles: a lost one that it replaces

	retry *schedule.Retry // nil: never refused; guarded by queues.mu
	tries                 // guarded by queues.mu

	size    int  // of its line; guarded by ledger.mu like the next field
	settled bool // or no longer in hand
}

// tries counts the attempts with an event since it is in hand.
type tries struct {
	probes     int    // attempts without an answer
	before     uint64 // deliveries that the destination had accepted at the first of them
	refusals   int    // see [pipeline.IsRefusal]
	accepted   uint64 // deliveries that the destination had accepted after the latest refusal
	compares   int    // how often others were tried in its position
	comparedAt int    // refusals by then
}

// ledger tracks what a lane has not settled, and so its cursor.
type ledger struct {
	// inOrder is true for a lane with one queue whose destination reports where to continue. Its cursor does not pass what
	// is in hand, so the open numbers are the deferred events only.
	inOrder bool
	changed func(settled int) // called after each change of the cursor, with the number of deliveries that it settled
	freed   chan struct{}     // signals that there is more room

	mu        sync.Mutex
	at        cursor.Position   // everything before it was taken
	held      []*delivery       // what was taken, in order; may include settled ones
	live      int               // how many of held are unsettled
	bytes     int               // their size
	deferred  cursor.Numbers    // open numbers that are not in hand: deferred, or still to be read again
	missing   cursor.Numbers    // numbers that the journal had lost when the lane read there
	replaced  map[uint64]uint64 // by open number that is lost, the open number that replaces it
	replacing map[uint64]uint64 // by unsettled number that replaces a missing one, the missing one; nil: none
}

func newLedger(c journal.Cursor, inOrder bool, changed func(settled int)) *ledger {
	return &ledger{
		inOrder: inOrder, changed: changed, freed: make(chan struct{}, 1), at: cursor.Of(c),
		deferred: slices.Clone(c.Open), missing: slices.Clone(c.Missing), replaced: make(map[uint64]uint64),
	}
}

// lost records numbers that the journal has lost. Call it before take.
func (l *ledger) lost(missing []journal.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rng := range missing {
		l.missing.Add(rng)
	}
}

// take records the result of a read: the deliveries, and how far it went.
func (l *ledger) take(of []*delivery, at cursor.Position) {
	l.mu.Lock()
	for _, d := range of {
		l.add(d)
	}
	if at.Next > l.at.Next {
		l.at = at
	}
	l.mu.Unlock()
	l.changed(0)
}

// add puts a delivery in hand. l.mu is held.
func (l *ledger) add(d *delivery) {
	l.held = append(l.held, d)
	l.live++
	d.size = len(d.record.Line)
	l.bytes += d.size
}

// takeBack puts an event in hand that was open.
func (l *ledger) takeBack(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deferred.Remove(d.number)
	if d.replaced != 0 {
		l.deferred.Remove(d.replaced)
	}
	l.add(d)
}

// open makes a number open that is not in hand, as it waits for a retry.
func (l *ledger) open(number uint64) {
	l.mu.Lock()
	l.deferred.AddOne(number)
	l.mu.Unlock()
	l.changed(0)
}

// lose records that an open number is lost. Its replacement will be delivered.
func (l *ledger) lose(number uint64) {
	l.mu.Lock()
	l.deferred.Remove(number)
	l.missing.AddOne(number)
	l.mu.Unlock()
	l.changed(0)
}

// replaces decides about an event that replaces the lost number ref. It reports true if the event must be delivered,
// because the lane never got the lost one. If that one is still in hand or waits for a retry, the new one stays open
// until it is settled.
func (l *ledger) replaces(ref, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missing.Remove(ref) {
		if l.replacing == nil {
			l.replacing = make(map[uint64]uint64)
		}
		l.replacing[number] = ref
		return true
	}
	if ref >= l.at.Next {
		return true
	}
	l.waitUntilSettled(ref, number)
	return false
}

// waitsFor reports whether an open event that replaces the number ref must wait until ref is settled. Otherwise it must
// be delivered: if the lane had settled ref, the event would not be open.
func (l *ledger) waitsFor(ref, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing.Remove(ref)
	return l.waitUntilSettled(ref, number)
}

// waitUntilSettled keeps number open until ref is settled, if that is open. l.mu is held.
func (l *ledger) waitUntilSettled(ref, number uint64) bool {
	open := l.deferred.Contains(ref) || slices.ContainsFunc(l.held, func(d *delivery) bool { return !d.settled && (d.number == ref || d.replaced == ref) })
	if open {
		l.replaced[ref] = number
		l.deferred.AddOne(number)
	}
	return open
}

// isMissing reports whether the lane never got a number, because it was lost.
func (l *ledger) isMissing(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missing.Contains(number)
}

// replacement returns the number of the event that replaces an open one.
func (l *ledger) replacement(number uint64) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	by, ok := l.replaced[number]
	return by, ok
}

// deferDelivery takes an event out of hand until its retry is due. It stays open.
func (l *ledger) deferDelivery(d *delivery) {
	l.mu.Lock()
	l.deferred.AddOne(d.number)
	if d.replaced != 0 {
		l.deferred.AddOne(d.replaced)
	}
	if !d.deferred {
		l.release(d)
	}
	l.mu.Unlock()
	l.changed(0)
}

// settle records that events are done. Their records must not be used afterwards.
func (l *ledger) settle(of []*delivery) {
	l.mu.Lock()
	for _, d := range of {
		l.done(d.number, d.deferred)
		if d.replaced != 0 {
			l.done(d.replaced, d.deferred)
		}
		if !d.deferred {
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

// done settles a number and its replacement. l.mu is held.
func (l *ledger) done(number uint64, deferred bool) {
	if deferred {
		l.deferred.Remove(number)
	}
	delete(l.replacing, number)
	if by, ok := l.replaced[number]; ok {
		delete(l.replaced, number)
		l.deferred.Remove(by)
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

// compact removes settled deliveries. l.mu is held.
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

// room returns how many events and bytes the lane can take.
func (l *ledger) room() (events, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == 0 {
		return maxHeld, maxHeldBytes
	}
	return maxHeld - l.live, maxHeldBytes - l.bytes
}

// position returns the lane's position.
func (l *ledger) position() cursor.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// cursorWithoutHeld returns the cursor without what is in hand.
func (l *ledger) cursorWithoutHeld() journal.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return journal.Cursor{Next: l.at.Next, LastID: l.at.ID, LastTime: l.at.Time, Open: slices.Clone(l.deferred), Missing: slices.Clone(l.missing)}
}

// restore sets a cursor from [ledger.cursorWithoutHeld]. It does not change what is in hand.
func (l *ledger) restore(c journal.Cursor) {
	l.mu.Lock()
	l.at = cursor.Of(c)
	l.deferred, l.missing = c.Open, c.Missing
	clear(l.replaced)
	l.mu.Unlock()
	l.changed(0)
}

// cursor returns the cursor for the disk. at is the position before which the lane has taken everything it needs, if that
// is further than the ledger knows. exact includes what is in hand in the open numbers in any case.
func (l *ledger) cursor(at cursor.Position, exact bool) journal.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Next < l.at.Next {
		at = l.at
	}
	open, own := l.deferred, false
	for _, d := range l.held {
		if d.settled {
			continue
		}
		if l.inOrder && !exact {
			if d.number < at.Next {
				at = cursor.Position{Next: d.number, Time: d.at}
			}
			continue
		}
		if !own {
			open, own = slices.Clone(open), true
		}
		open.AddOne(d.number)
		if d.replaced != 0 {
			open.AddOne(d.replaced)
		}
	}
	missing := l.missing.Below(at.Next)
	for number, ref := range l.replacing {
		if number >= at.Next && ref < at.Next { // a run that starts there reads number again, and must know that it lacks ref
			missing.AddOne(ref)
		}
	}
	return journal.Cursor{
		Next: at.Next, LastID: at.ID, LastTime: at.Time, Open: open.Below(at.Next), Missing: missing,
	}
}

// inHand returns how many events are in hand.
func (l *ledger) inHand() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live
}

// load describes what the lane has in hand.
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
