package delivery

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	// minRoom is how much room a lagging lane waits for before it reads on, for at most minRoomWait.
	minRoom     = maxHeld / 8
	fewBytes    = maxHeldBytes / 8
	minRoomWait = 50 * time.Millisecond
	// blockSize is how many deliveries are allocated at once.
	blockSize = 32
)

// follow takes events from the journal until draining starts or ctx ends.
func (l *Lane) follow(ctx context.Context) {
	verified := false
	for ctx.Err() == nil && !l.stop.draining() {
		if !l.waitForProbe(ctx) {
			l.stats.moved(time.Now())
			verified = false
			continue
		}
		if len(l.left) > 0 {
			l.takeOpen(ctx, l.stop.drain)
			continue
		}
		p, attached := l.feed.take()
		switch {
		case !p.empty():
			l.take(p.records, p.missing, p.at, false)
			l.feed.done()
			verified = false
		case attached:
			l.wait(ctx, nil)
			verified = false
		default:
			verified = l.catchUp(ctx, verified)
		}
	}
}

// wait waits for the feed, another channel, draining, or the end of ctx.
func (l *Lane) wait(ctx context.Context, other <-chan struct{}) {
	select {
	case <-l.feed.ready:
	case <-other:
	case <-l.stop.drain:
	case <-ctx.Done():
	}
}

// waitForProbe waits while the sink is disabled, or while the destination is down and the lane has enough events to probe
// with: a fresh one, and others in case that one is the cause. Refused events do not make it wait. It reports false if
// something has changed meanwhile. While it waits, the lane holds no more of the journal than what it has in hand.
func (l *Lane) waitForProbe(ctx context.Context) bool {
	state, changed := l.breaker.State()
	if state.DisabledSince.IsZero() && (state.DownSince.IsZero() || l.ledger.inHand() < maxHandover || !l.queues.fresh()) {
		return true
	}
	l.detach()
	clock.Await(ctx, l.stop.drain, changed, -1)
	return false
}

// detach makes the lane read by itself from now on.
func (l *Lane) detach() {
	at := l.home.reader.detach(l.feed, l.ledger.position)
	l.ledger.take(nil, at) // everything it may need before that was taken
	l.feed.setPosition(at)
}

// catchUp reads on by itself, once, and attaches to the reader when it has caught up. verified means that the lane's position
// was compared with the journal since it fell behind; lag returns its new value.
func (l *Lane) catchUp(ctx context.Context, verified bool) bool {
	from := l.feed.position()
	var err error
	if !verified {
		if from, err = l.verified(ctx, from); err == nil {
			verified = true
		}
	}
	changed := l.journal().Changed()
	var more bool
	if len(l.left) > 0 {
		return verified // open numbers come first
	}
	if err == nil && l.waitRoom(ctx, l.stop.drain) {
		more, err = l.readSome(ctx, from)
	}
	if ctx.Err() != nil {
		return verified
	}
	l.noteReadable(err)
	switch {
	case errors.Is(err, cursor.ErrReplaced), errors.Is(err, cursor.ErrShorter):
		verified = false
		l.stop.pause(ctx)
	case err != nil:
		l.stop.pause(ctx)
	case !more:
		ok, err := l.home.reader.attach(ctx, l.feed, l.feed.position())
		if !ok && err == nil {
			clock.Await(ctx, l.stop.drain, changed, time.Second) // wait for the reader, or for something new
		}
	}
	return verified
}

// verified returns the position to continue at. It differs from the lane's position if the journal was replaced.
func (l *Lane) verified(ctx context.Context, from cursor.Position) (cursor.Position, error) {
	at, replaced, err := cursor.Verify(ctx, l.journal(), from)
	if err != nil {
		return from, err
	}
	if replaced {
		l.home.reportReplaced(l.cfg.Sink, at)
		c := l.ledger.cursorWithoutHeld()
		c.Next, c.LastID, c.LastTime = from.Next, from.ID, from.Time
		c, fresh, err := cursor.Rebase(ctx, l.journal(), c, at.Next)
		if err != nil {
			return from, err
		}
		l.ledger.restore(c)
		for _, rng := range fresh {
			l.left.Add(rng)
			for number := rng.First; number <= rng.Last; number++ {
				l.schedule.Forget(ctx, number) // it was another event
			}
		}
		from = cursor.Of(c)
		l.feed.setPosition(from)
	}
	return from, l.home.reserve(ctx, "sink "+l.cfg.Sink, from.Next-1)
}

// noteReadable records whether the lane can read the journal, and logs when that changes.
func (l *Lane) noteReadable(err error) {
	if l.stats.read(err) {
		l.log.Warn().Err(err).Msg("journal cannot be read; waiting")
	}
}

// waitRoom waits until the lane has room for more events. It reports false if hurry is closed or ctx ends first.
func (l *Lane) waitRoom(ctx context.Context, hurry <-chan struct{}) bool {
	limit := time.NewTimer(minRoomWait)
	defer limit.Stop()
	for late := false; ; {
		events, size := l.ledger.room()
		if events >= minRoom && size >= fewBytes || late && events > 0 && size > 0 {
			return true
		}
		select {
		case <-l.ledger.freed:
		case <-limit.C:
			late = true
		case <-hurry:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// readSome reads as much as there is room for. It reports false if there is nothing more.
func (l *Lane) readSome(ctx context.Context, from cursor.Position) (bool, error) {
	select {
	case l.home.slots <- struct{}{}:
	case <-ctx.Done():
		return false, nil
	}
	defer func() { <-l.home.slots }()
	room, size := l.ledger.room()
	limit := cursor.ReadAtOnce
	if len(l.feed.interest.accounts) == 0 { // otherwise records without room would be read twice
		limit = max(min(limit, room), 1)
	}
	s, err := cursor.Read(ctx, l.journal(), from, limit)
	if err != nil || s.At.Next == from.Next {
		return false, err
	}
	for _, rng := range s.Aged {
		l.log.Error().Uint64("from", rng.First).Uint64("to", rng.Last).
			Msg("events may be lost to this sink: the journal dropped these numbers by age before the sink got them; raise journal.retention")
	}
	var records []*journal.Record
	at, kept := s.At, 0
	for i := range s.Records {
		r := &s.Records[i]
		if !l.feed.interest.matches(r) {
			continue
		}
		if len(records) > 0 && (len(records) >= room || size < len(r.Data)) {
			at = cursor.Behind(&s.Records[i-1])
			break
		}
		size -= len(r.Data)
		kept += len(r.Data)
		records = append(records, r)
	}
	read := 0
	for i := range s.Records {
		read += len(s.Records[i].Data)
	}
	// Records of one read share memory. If most of it belongs to others, copy the kept records.
	l.take(records, s.Missing, at, 2*kept < read)
	l.feed.setPosition(at)
	return true, nil
}

// take takes records that the lane may need, and lost numbers, up to a position. If copied is set, it copies what it
// keeps.
func (l *Lane) take(records []*journal.Record, missing []journal.Range, at cursor.Position, copied bool) {
	if len(missing) > 0 {
		l.ledger.lost(missing)
	}
	now := time.Now()
	of := make([]*delivery, 0, len(records))
	var block []delivery
	fresh := l.schedule.None()
	for _, r := range records {
		if !l.wants(r) {
			continue
		}
		var known *schedule.Retry
		if !fresh {
			if known = l.schedule.Claim(r.Number); known != nil && known.Deferred {
				l.ledger.open(r.Number)
				continue
			}
		}
		if len(block) == 0 {
			block = make([]delivery, min(blockSize, len(records)))
		}
		d := &block[0]
		block = block[1:]
		l.fill(d, r, now, known)
		if copied {
			d.record.Line = bytes.Clone(d.record.Line)
		}
		of = append(of, d)
	}
	l.ledger.take(of, at)
	if len(of) > 0 {
		l.metrics.inFlight.Set(float64(l.ledger.inHand()))
		l.queues.put(of)
		l.breaker.NotifyNewEvents()
	}
	l.stats.moved(now)
}

// wants reports whether the lane must deliver a record.
func (l *Lane) wants(r *journal.Record) bool {
	if !l.rules.Wants(r) || l.resumed.dead[r.Number] {
		return false
	}
	return !replacesLost(r) || l.ledger.replaces(r.Ref, r.Number)
}

// replacesLost reports whether a record takes the position of a lost one, whose number is its Ref: a treat, or the backfill batch that a digest is made of.
func replacesLost(r *journal.Record) bool {
	return r.Ref != 0 && (r.Kind == journal.Treat || r.Kind == journal.Backfill)
}

func (l *Lane) fill(d *delivery, r *journal.Record, now time.Time, known *schedule.Retry) {
	d.number, d.record, d.at, d.taken, d.batch, d.retry = r.Number, l.recordOf(r), r.Time, now, r.Kind == journal.Backfill, known
}

// finish takes the records that were journaled before draining started, and returns when all workers are idle.
func (l *Lane) finish(ctx context.Context) error {
	if !l.breaker.Open() {
		return nil
	}
	for len(l.left) > 0 && ctx.Err() == nil && !l.stop.halted() {
		if !l.roomLeft(ctx) {
			return nil
		}
		l.takeOpen(ctx, l.stop.halt)
	}
	p, _ := l.feed.take()
	if !p.empty() {
		l.take(p.records, p.missing, p.at, false)
		l.feed.done()
	}
	l.detach()
	_, end := l.journal().Bounds()
	for at := l.feed.position(); at.Next < end && ctx.Err() == nil && !l.stop.halted(); at = l.feed.position() {
		if !l.roomLeft(ctx) {
			return nil
		}
		more, err := l.readSome(ctx, at)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// roomLeft waits for room while draining. It reports false if there will be none, because what the lane holds stays for
// the next start.
func (l *Lane) roomLeft(ctx context.Context) bool {
	for {
		quiet := l.queues.busy()
		if events, size := l.ledger.room(); events > 0 && size > 0 {
			return true
		}
		if quiet == nil || !clock.Await(ctx, l.stop.halt, quiet, minRoomWait) {
			return false
		}
	}
}
