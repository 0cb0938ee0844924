package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// firstRun takes what the reply holds, and the journal has not, for known, and returns how many treats that are.
func (r *Reconciler) firstRun(ctx context.Context, c *comparison, base *baseline) (known int, err error) {
	in := r.intake
	var all []past
	err = r.countJournal(ctx, c, base.ID, func() {
		all = c.surplus()
		now := time.Now()
		in.healing.expected, in.healing.baseline = nil, base.ID
		for i := range all {
			before := in.healing.expected[all[i].mark]
			in.healing.expect(all[i].mark, credit{known: before.known + 1, last: now})
		}
	})
	if err != nil {
		return 0, err
	}
	return len(all), in.journal.writeKnown(ctx, in.norm.Account, base, all)
}

// heal journals what is missing, oldest first. What comes live before its turn is journaled as live instead.
func (r *Reconciler) heal(ctx context.Context, c *comparison, base *baseline, reply Reply, result Reconciliation) (Reconciliation, error) {
	in := r.intake
	var missing []past
	err := r.countJournal(ctx, c, base.ID, func() {
		missing, result.Dressed = c.missing()
		in.healing.missing = make(map[mark]int, len(missing))
		for i := range missing {
			in.healing.missing[missing[i].mark]++
		}
	})
	if err != nil {
		return result, err
	}
	defer func() {
		in.turn <- struct{}{} // who holds it does so for as long as its own context lets it
		in.healing.missing = nil
		<-in.turn
	}()
	for window := range slices.Chunk(missing, healWindow) {
		queued := 0
		for i := range window {
			done, err := r.backfill(ctx, c, reply, &window[i])
			switch {
			case errors.Is(err, errNotTreat): // too large for the journal's server
				result.Unusable++
			case err != nil:
				return result, err
			case done:
				queued++
			}
		}
		if err := in.backlog.wait(ctx); err != nil {
			return result, err
		}
		result.Healed += queued
	}
	return result, nil
}

// backfill queues one treat of the reply, and reports false if it has come live meanwhile.
func (r *Reconciler) backfill(ctx context.Context, c *comparison, reply Reply, p *past) (bool, error) {
	in := r.intake
	t, err := p.body(reply)
	if err != nil {
		return false, err
	}
	now := time.Now()
	e, _ := in.norm.normalize(&t, now)
	e.Origin = OriginBackfill
	leave, err := in.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if !in.healing.take(p.mark) {
		return false, nil
	}
	ordinal := max(c.ordinal(p.mark), in.repeats[NewKey(&e.Data)].next)
	if err := in.queue(ctx, &e, ordinal, ""); err != nil {
		return false, err
	}
	in.healing.backfilled(p.mark, now)
	r.unsettled = true
	return true, nil
}

// countJournal counts the account's events and what comes live meanwhile, those that wait for the disk included. Then it calls settle,
// before anything more comes live.
func (r *Reconciler) countJournal(ctx context.Context, c *comparison, baseline string, settle func()) error {
	in := r.intake
	begin, err := in.journal.lastSeq(ctx, in.norm.Account)
	if err != nil {
		return err
	}
	leave, err := in.enter(ctx)
	if err != nil {
		return err
	}
	in.healing.watched = make(map[string]trace)
	leave()
	seen := make(map[string]bool) // events after begin
	if err = in.backlog.wait(ctx); err == nil {
		err = in.journal.read(ctx, in.norm.Account, 0, time.Unix(0, 0), func(seq uint64, h nats.Header, line []byte) error {
			if seq > begin {
				seen[h.Get(jetstream.MsgIDHeader)] = true
			}
			countEvent(c, baseline, h, line)
			return nil
		})
	}
	in.turn <- struct{}{} // who holds it does so for as long as its own context lets it
	defer func() { <-in.turn }()
	watched := in.healing.watched
	in.healing.watched = nil
	if err != nil {
		return err
	}
	for id, t := range watched {
		if !seen[id] {
			c.count(t, 1, 0)
		}
	}
	settle()
	return nil
}

// countEvent counts an event of the journal, unless the baseline has it.
func countEvent(c *comparison, baseline string, h nats.Header, line []byte) {
	if o := Origin(h.Get(headerOrigin)); o != OriginLive && o != OriginBackfill {
		return
	}
	ordinal, err := strconv.ParseUint(h.Get(headerOrdinal), 10, 64)
	if err != nil {
		return // not a treat that was received
	}
	var e struct {
		Data Data `json:"data"`
	}
	if json.Unmarshal(line, &e) != nil {
		return // CatchUp tells of it
	}
	if t, ok := traceOf(&e.Data); ok {
		n := 1
		if h.Get(headerKnown) == baseline {
			n = 0
		}
		c.count(t, n, ordinal+1)
	}
}
