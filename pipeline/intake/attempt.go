package intake

import (
	"context"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/index"
)

// attempt does the work of one comparison.
func (r *Reconciler) attempt(ctx context.Context) (result Reconciliation, err error) {
	result.Account = r.intake.norm.Account
	reply, err := r.history.Fetch(ctx)
	if err != nil {
		return result, err
	}
	defer reply.Close() //nolint:errcheck // it was only read
	now := time.Now()
	base, since, err := r.horizon(ctx, now)
	if err != nil {
		return result, err
	}
	read := replyReader{zone: r.intake.norm.Location, oldest: since, newest: now.Add(wrongZone)}
	if err := read.read(reply); err != nil {
		return result, err
	}
	result.Held, result.Older, result.Undated, result.Unusable = len(read.treats), read.before, read.undated, read.unusable
	for {
		err := r.apply(ctx, &read, base, since, reply, &result)
		if !errors.Is(err, index.ErrDamaged) { // it is repaired, and nothing is journaled yet
			return result, err
		}
	}
}

// apply compares a reply with what relay has, and journals what is missing.
func (r *Reconciler) apply(ctx context.Context, read *replyReader, base *baseline, since time.Time, reply Reply, result *Reconciliation) (err error) {
	in := r.intake
	result.FirstRun = base.Records < 0
	if result.FirstRun && r.cfg.BackfillFirstRun {
		result.FirstRun = false
		if err := in.writeKnown(ctx, base, nil); err != nil {
			return err
		}
	}
	if !result.FirstRun {
		if result.FirstRun, err = r.lostBaseline(ctx, base, since); err != nil {
			return err
		}
	}
	c := newComparison(read.treats, read.zone)
	if len(c.treats) == 0 && !result.FirstRun {
		return nil
	}
	if !result.FirstRun {
		return r.heal(ctx, c, base, reply, result)
	}
	known, lost, err := r.firstRun(ctx, c, base)
	result.Known = known
	if err != nil || lost == 0 {
		return err
	}
	return r.heal(ctx, newComparison(read.treats, read.zone), base, reply, result)
}

// horizon returns the account's baseline, which has -1 records if there is none yet, and from when on the journal can be compared.
func (r *Reconciler) horizon(ctx context.Context, now time.Time) (base *baseline, since time.Time, err error) {
	in := r.intake
	since, retention, err := in.span(ctx, now)
	if err != nil {
		return nil, since, err
	}
	if base, err = in.readBaseline(ctx); err != nil {
		return nil, since, err
	}
	if base == nil {
		base = newBaseline(retention)
		base.Records = -1
		return base, since, nil
	}
	if base.Retention != retention {
		if before := reach(now, base.Retention); before.After(since) && before.After(base.Floor) { // it was kept for less
			base.Floor = before
		}
		base.Retention = retention
		if err := in.putBaseline(ctx, base); err != nil {
			return nil, since, err
		}
	}
	if base.Floor.After(since) && base.Floor.Before(now) { // else the clock was wrong
		since = base.Floor
	}
	return base, since, nil
}

// lostBaseline counts the treats of the baseline, once a process. If some are lost, from the index too, it makes base a new baseline, to be filled as
// in a first run: better a gap than a month of old treats.
func (r *Reconciler) lostBaseline(ctx context.Context, base *baseline, since time.Time) (first bool, err error) {
	if base.Records == 0 || r.whole == base.ID {
		return false, nil
	}
	in := r.intake
	if err := in.index.CatchUp(ctx); err != nil {
		return false, err
	}
	records, err := in.index.CountKnown(ctx, in.norm.Account, base.ID)
	if err != nil {
		return false, err
	}
	if records >= base.Records || base.Made.Before(since) {
		r.whole = base.ID
		return false, nil
	}
	r.log.Warn().Int("records", base.Records).Int("found", records).
		Msg("part of what was known of the history is lost: what it holds now is known from now on and not delivered")
	floor := base.Floor
	*base = *newBaseline(base.Retention)
	base.Floor = floor
	return true, nil
}
