package intake

import (
	"context"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/history"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/intake/match"
)

// compareOnce runs one comparison with the provider's history.
func (r *Reconciler) compareOnce(ctx context.Context) (result Reconciliation, err error) {
	result.Account = r.intake.norm.Account
	reply, err := r.history.Fetch(ctx)
	if err != nil {
		return result, err
	}
	defer reply.Close() //nolint:errcheck // it was opened for reading only
	now := time.Now()
	login, ahead := r.login(reply)
	base, since, err := r.loadBaseline(ctx, now, login)
	if err != nil {
		return result, err
	}
	within := history.Bounds{Zone: r.intake.norm.Location, Oldest: since, Newest: now.Add(match.WrongZone)}
	list, err := history.Read(ctx, reply, within)
	if err != nil {
		return result, err
	}
	result.Held, result.Older, result.Undated, result.Unusable = len(list.Treats), list.Older, list.Undated, list.Unusable
	result.Cut = list.Cut
	if list.None {
		result.NoList, result.Refused = true, list.Refused
		return result, nil
	}
	at := input{list, reply, login, ahead, since}
	for {
		err := r.apply(ctx, &at, base, &result)
		if !errors.Is(err, index.ErrDamaged) { // the index is repaired by now, and nothing is journaled yet
			return result, err
		}
	}
}

// input is a reply that was read, and its context.
type input struct {
	*history.List
	reply      history.Reply
	login      Login
	clockAhead time.Duration // how far the provider's clock is ahead of this machine's
	since      time.Time     // only treats sent since then were read
}

// apply compares a reply with the journal, and journals the missing treats.
func (r *Reconciler) apply(ctx context.Context, g *input, base *baseline, result *Reconciliation) (err error) {
	in := r.intake
	first := base.pending()
	if first && r.cfg.BackfillFirstRun {
		first, base.Cutoff = false, time.Time{}
		base.noteReply(g.login, g.Channels)
		if err := in.writeKnown(ctx, base, nil); err != nil {
			return err
		}
	}
	if !first {
		if first, err = r.checkBaseline(ctx, base, g.since); err != nil {
			return err
		}
	}
	missing := len(g.Treats) > 0
	switch undecided := !base.Changed.IsZero(); {
	case first || undecided && missing:
		if missing, err = r.recordBaseline(ctx, g, base, first, result); err != nil {
			return err
		}
	case !undecided && base.noteReply(g.login, g.Channels):
		if err := in.putBaseline(ctx, base); err != nil {
			return err
		}
	}
	r.adopt(ctx, g.login)
	if !missing {
		return nil
	}
	return r.backfill(ctx, match.New(g.Treats, r.intake.norm.Location), base, g, result)
}

// loadBaseline returns the account's baseline, which it creates if there is none, and the time since when reply and journal
// can be compared.
func (r *Reconciler) loadBaseline(ctx context.Context, now time.Time, login Login) (base *baseline, since time.Time, err error) {
	in := r.intake
	since, retention, err := in.journalSince(ctx, now)
	if err != nil {
		return nil, since, err
	}
	if base, err = in.readBaseline(ctx, login); err != nil {
		return nil, since, err
	}
	if base == nil {
		base, err = r.createBaseline(ctx, retention, login)
		return base, since, err
	}
	changed := base.noteLogin(login, now)
	if base.Retention != retention {
		if before := comparableSince(now, base.Retention); before.After(since) && before.After(base.Floor) { // the journal was kept for a shorter time
			base.Floor = before
		}
		base.Retention, changed = retention, true
	}
	if changed {
		if err := in.putBaseline(ctx, base); err != nil {
			return nil, since, err
		}
	}
	floors := []time.Time{base.Floor}
	if base.Changed.IsZero() { // otherwise it may be another channel, whose treats must be recorded as known
		floors = append(floors, base.floor())
	}
	for _, floor := range floors {
		if floor.After(since) && floor.Before(now) { // otherwise the clock was wrong
			since = floor
		}
	}
	return base, since, nil
}

// checkBaseline checks, once per process, that all treats of the baseline are still there. If some are lost, from the
// index too, it turns base into an empty baseline, to be filled as in a first run: a gap is better than a month of old
// treats. The cutoff stays.
func (r *Reconciler) checkBaseline(ctx context.Context, base *baseline, since time.Time) (first bool, err error) {
	if base.Records == 0 || r.base.whole == base.ID {
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
		r.base.whole = base.ID
		return false, nil
	}
	r.log.Warn().Int("records", base.Records).Int("found", records).
		Msg("part of the baseline of the history is lost: what the history holds now counts as known and is not delivered")
	base.Cutoff = base.cutoff(0)
	base.renew()
	return true, nil
}
