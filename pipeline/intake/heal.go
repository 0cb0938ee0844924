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

// know adds to the baseline what the reply holds of the time before it and the journal does not, except for treats that
// the log has lost. It reports whether anything else is missing. If this is not the first reply of the account, it
// belongs to a new login: then the baseline is replaced by one of the new channel, unless the account has had that
// channel before.
func (r *Reconciler) know(ctx context.Context, g *given, base *baseline, first bool, result *Reconciliation) (more bool, err error) {
	in := r.intake
	c := match.New(slices.Clone(g.Treats), in.norm.Location) // which also sorts them
	same := false
	var all []history.Treat
	err = r.measure(ctx, c, base, func() {
		now, cutoff := time.Now(), base.cutoff(g.ahead)
		if !first {
			other, at := base.otherChannel(c, g.Channels, g.ahead)
			if same = !other; same {
				return
			}
			cutoff = at
			base.follow()
		}
		newest := in.index.Account(in.norm.Account).Newest
		all, more = c.Split(c.InZone(cutoff, now.Add(g.ahead), &newest, g.ahead).Unix())
		in.healing.credits, in.healing.baseline = nil, base.ID
		for i := range all {
			in.healing.expect(match.TraitOf(all[i].Core, all[i].Same), knownBefore, now)
		}
	})
	if err != nil {
		return false, err
	}
	base.settle(g.login, g.Channels)
	if same {
		floor := base.floor().Unix()
		g.Treats = slices.DeleteFunc(g.Treats, func(p history.Treat) bool { return p.Same.Second < floor })
		return len(g.Treats) > 0, in.putBaseline(ctx, base)
	}
	result.FirstRun, result.Known, base.Made = true, len(all), time.Now().UTC()
	return more, in.writeKnown(ctx, base, all)
}

// heal journals the missing treats, oldest first. If one arrives live before its turn, it is journaled as live instead.
func (r *Reconciler) heal(ctx context.Context, c *match.Comparison, base *baseline, g *given, result *Reconciliation) error {
	in := r.intake
	lost, err := in.index.LostHealMarks(ctx, in.norm.Account)
	if err != nil {
		return err
	}
	if r.marks.lost = lost; lost == nil {
		r.marks.lost = make(map[journal.Span]uint64) // read, and there are none
	}
	var gone []gap
	err = r.measure(ctx, c, base, func() {
		gone, result.Rewritten = gapsOf(c.Missing()), c.Rewritten()
		result.Withheld, result.WithheldFrom = c.Withheld()
		in.healing.await(c, gone, c.Shift(time.Now().Add(g.ahead)))
	})
	if err != nil {
		return err
	}
	defer in.cleanUp(ctx, in.healing.drop)
	for window := range slices.Chunk(gone, healWindow) {
		queued := 0
		for i := range window {
			done, err := r.backfill(ctx, c, g.reply, &window[i])
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

// backfill queues one treat of the reply. It reports false if the treat has arrived live meanwhile.
func (r *Reconciler) backfill(ctx context.Context, c *match.Comparison, reply history.Reply, p *gap) (bool, error) {
	in := r.intake
	t, err := p.Body(reply)
	if err != nil {
		return false, err
	}
	now := time.Now()
	e, f := in.norm.normalize(&t, now)
	e.Origin = pipeline.OriginBackfill
	leave, err := in.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if p.credit.live != nil {
		return false, nil
	}
	q := queued{event: &e, print: &f, hits: in.find(ctx, &f), ref: p.Lost, marks: r.marks.lost}
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
	p.credit.role, p.credit.last = journaledBefore, now
	r.marks.due = true
	return true, nil
}

// free reports whether the treat of that ordinal was not journaled again, and is not about to be.
func (r *Reconciler) free(hits []index.Hit, f *fingerprint.Fingerprint, ordinal uint64) bool {
	if r.intake.repeats.counts[keyOf(f)].next > ordinal {
		return false
	}
	return !slices.ContainsFunc(hits, func(h index.Hit) bool { return h.Repeat == ordinal+1 && !h.Lost })
}

// measure counts the account's events, including those that still wait for the disk and those that arrive live
// meanwhile. Then it calls settle, before anything else arrives live.
func (r *Reconciler) measure(ctx context.Context, c *match.Comparison, base *baseline, settle func()) error {
	in := r.intake
	if err := in.index.CatchUp(ctx); err != nil {
		return err
	}
	leave, err := in.enter(ctx)
	if err != nil {
		return err
	}
	// What is queued from now on gets a higher number than everything before it.
	in.healing.watching, in.healing.watched = true, nil
	limit, before := in.index.Through(), in.backlog.begin()
	leave()
	number, err := await(ctx, before)
	if err == nil {
		err = r.countIndex(ctx, c, base, max(limit, number))
	}
	if err != nil {
		in.cleanUp(ctx, in.healing.unwatch)
		return err
	}
	if leave, err = in.enter(ctx); err != nil {
		in.turn.later(in.healing.unwatch)
		return err
	}
	defer leave()
	watched := in.healing.watched
	in.healing.unwatch()
	for i := range watched {
		c.Came(&watched[i])
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
				c.Known(h)
			}
		case h.Repeat == 0: // not a received treat
		case h.Lost && !tags[h.Baseline]:
			c.Miss(h)
		case tags[h.Baseline]:
			c.Passed(h)
		default:
			c.Count(h)
		}
		return true
	})
	if err != nil || !c.Lost() {
		return err
	}
	// A lost treat may have been journaled again.
	return in.index.Range(ctx, in.norm.Account, from, to, func(h *index.Hit) bool {
		if !h.Known && !h.Lost && h.Repeat > 0 && h.Number <= limit {
			c.Found(&h.Fingerprint, h.Repeat-1)
		}
		return true
	})
}
