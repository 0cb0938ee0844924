package intake

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/intake/match"
	"github.com/treatrelay/relay/pipeline/intake/treat"
	"github.com/treatrelay/relay/pipeline/journal"
)

// recordBaseline adds to the baseline what the reply holds of the time before it and the journal does not, except for treats that
// the log has lost. It reports whether anything else is missing. If this is not the first reply of the account, it
// belongs to a new login: then the baseline is replaced by one of the new channel, unless the account has had that
// channel before.
func (r *Reconciler) recordBaseline(ctx context.Context, g *input, base *baseline, first bool, result *Reconciliation) (more bool, err error) {
	in := r.intake
	c := match.New(slices.Clone(g.Treats), in.norm.Location) // which also sorts them
	same := false
	var all []history.Treat
	err = r.countTreats(ctx, c, base, func() {
		now, cutoff := time.Now(), base.cutoff(g.clockAhead)
		if !first {
			other, at := base.otherChannel(c, g.Channels, g.clockAhead)
			if same = !other; same {
				return
			}
			cutoff = at
			base.replaceChannel()
		}
		newest := in.index.Account(in.norm.Account).Newest
		all, more = c.Split(c.InZone(cutoff, now.Add(g.clockAhead), &newest, g.clockAhead).Unix())
		in.overlap.expected, in.overlap.baseline = nil, base.ID
		for i := range all {
			in.overlap.expect(match.TraitOf(all[i].Core, all[i].Same), knownBefore, now)
		}
	})
	if err != nil {
		return false, err
	}
	base.noteReply(g.login, g.Channels)
	if same {
		floor := base.floor().Unix()
		g.Treats = slices.DeleteFunc(g.Treats, func(p history.Treat) bool { return p.Same.Second < floor })
		return len(g.Treats) > 0, in.putBaseline(ctx, base)
	}
	result.FirstRun, result.Known, base.Made = true, len(all), time.Now().UTC()
	return more, in.writeKnown(ctx, base, all)
}

// backfill journals the missing treats, oldest first. If one arrives live before its turn, it is journaled as live instead.
func (r *Reconciler) backfill(ctx context.Context, c *match.Comparison, base *baseline, g *input, result *Reconciliation) error {
	in := r.intake
	lost, err := in.index.LostBatches(ctx, in.norm.Account)
	if err != nil {
		return err
	}
	if r.batches.lost = lost; lost == nil {
		r.batches.lost = make(map[journal.Range]uint64) // read, and there are none
	}
	var gone []missing
	err = r.countTreats(ctx, c, base, func() {
		gone, result.Rewritten = missingOf(c.Missing()), c.Rewritten()
		result.Withheld, result.WithheldFrom = c.Withheld()
		in.overlap.expectMissing(c, gone, c.Shift(time.Now().Add(g.clockAhead)))
	})
	if err != nil {
		return err
	}
	defer in.cleanUp(ctx, in.overlap.endBackfill)
	for window := range slices.Chunk(gone, healWindow) {
		queued := 0
		for i := range window {
			done, err := r.backfillOne(ctx, c, g.reply, &window[i])
			switch {
			case errors.Is(err, treat.ErrNotTreat): // too large for the journal
				result.Unusable++
			case err != nil:
				return err
			case done:
				queued++
			}
		}
		if _, err := in.backlog.wait(ctx); err != nil {
			return err
		}
		result.Healed += queued
	}
	return nil
}

// backfillOne queues one treat of the reply. It reports false if the treat has arrived live meanwhile.
func (r *Reconciler) backfillOne(ctx context.Context, c *match.Comparison, reply history.Reply, p *missing) (bool, error) {
	in := r.intake
	t, err := p.Body(reply)
	if err != nil {
		return false, err
	}
	now := time.Now()
	e, f := in.norm.normalize(&t, now)
	e.Origin = pipeline.OriginBackfill
	release, err := in.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	if p.expected.live != nil {
		return false, nil
	}
	q := queued{event: &e, print: &f, hits: in.find(ctx, &f), ref: p.Lost, lostBatches: r.batches.lost}
	q.ordinal = max(c.Ordinal(p.Same), in.repeats.counts[keyOf(&f)].next)
	for {
		lost, ok := c.NextLost(p.Same)
		if !ok {
			break
		}
		if r.free(q.hits, &f, lost.Ordinal) { // it has not arrived live meanwhile
			q.ordinal, q.ref = lost.Ordinal, lost.Number
			break
		}
	}
	duplicate, err := in.queue(ctx, &q)
	if err != nil || duplicate {
		return false, err
	}
	p.expected.role, p.expected.last = journaledBefore, now
	r.batches.due = true
	return true, nil
}

// free reports whether the treat of that ordinal was not journaled again, and is not about to be.
func (r *Reconciler) free(hits []index.Hit, f *fingerprint.Fingerprint, ordinal uint64) bool {
	if r.intake.repeats.counts[keyOf(f)].next > ordinal {
		return false
	}
	return !slices.ContainsFunc(hits, func(h index.Hit) bool { return h.Repeat == ordinal+1 && !h.Lost })
}

// countTreats counts the account's events, including those that still wait for the disk and those that arrive live
// meanwhile. Then it calls settle, before anything else arrives live.
func (r *Reconciler) countTreats(ctx context.Context, c *match.Comparison, base *baseline, settle func()) error {
	in := r.intake
	if err := in.index.CatchUp(ctx); err != nil {
		return err
	}
	release, err := in.acquire(ctx)
	if err != nil {
		return err
	}
	// What is queued from now on gets a higher number than everything before it.
	in.overlap.watching, in.overlap.watched = true, nil
	limit, before := in.index.Through(), in.backlog.begin()
	release()
	number, err := awaitBacklog(ctx, before)
	if err == nil {
		err = r.countIndex(ctx, c, base, max(limit, number))
	}
	if err != nil {
		in.cleanUp(ctx, in.overlap.unwatch)
		return err
	}
	if release, err = in.acquire(ctx); err != nil {
		in.lock.runNext(in.overlap.unwatch)
		return err
	}
	defer release()
	watched := in.overlap.watched
	in.overlap.unwatch()
	for i := range watched {
		c.AddLive(&watched[i])
	}
	c.Match()
	settle()
	return nil
}

// countIndex counts the events of the account in the index up to a number.
func (r *Reconciler) countIndex(ctx context.Context, c *match.Comparison, base *baseline, limit uint64) error {
	in := r.intake
	if c.Empty() {
		return nil
	}
	tags := base.tags()
	from, to := c.Bounds()
	err := in.index.Range(ctx, in.norm.Account, from, to, func(h *index.Hit) bool {
		switch {
		case h.Number > limit:
		case h.Known:
			if tags[h.Baseline] {
				c.AddKnown(h)
			}
		case h.Repeat == 0: // not a received treat
		case h.Lost && !tags[h.Baseline]:
			c.AddLost(h)
		case tags[h.Baseline]:
			c.MarkTaken(h)
		default:
			c.AddJournaled(h)
		}
		return true
	})
	if err != nil || !c.Lost() {
		return err
	}
	// A lost treat may have been journaled again.
	return in.index.Range(ctx, in.norm.Account, from, to, func(h *index.Hit) bool {
		if !h.Known && !h.Lost && h.Repeat > 0 && h.Number <= limit {
			c.MarkRestored(&h.Fingerprint, h.Repeat-1)
		}
		return true
	})
}
