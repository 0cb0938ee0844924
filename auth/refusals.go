package auth

import "time"

const (
	// refusedFor is how long an endpoint may turn a grant away without naming it before that counts as its word.
	refusedFor = time.Hour
	// refusedTimes is how often it must have been asked by then.
	refusedTimes = 4
)

// refusals is a row of rejected requests, uninterrupted by any other failure.
type refusals struct {
	since time.Time // by the monotonic clock, which a jump of the other does not move
	times int
	ours  bool // all of them were errors of an API
}

// add takes a failure into account.
func (r *refusals) add(f *failure, now time.Time) {
	switch {
	case f.kind != rejected:
		*r = refusals{}
		return
	case r.times == 0:
		*r = refusals{since: now, ours: true}
	}
	r.times++
	r.ours = r.ours && f.ours
}

// lasting reports whether the row is longer than trouble at a provider usually takes.
func (r *refusals) lasting(now time.Time) bool {
	return r.times >= refusedTimes && now.Sub(r.since) > refusedFor
}

const earlierLost = "; the answer to an earlier refresh was lost"

// refusedForLong says why g is over after f, the last of a row of rejections; empty while it may not be.
func (a *Account) refusedForLong(g Grant, f *failure) string {
	now := time.Now()
	if !a.refusals.lasting(now) {
		return ""
	}
	since := a.refusals.since.UTC().Format(time.RFC3339)
	reason := a.provider.Title + " refuses the login since " + since + ", "
	switch {
	case a.wire.traffic.gaveSince(a.renewalCall(g).endpoint, a.refusals.since):
		reason += "and renews those of other accounts: " + f.why
	case a.refusals.ours && !g.valid(now):
		reason += "and the access token has expired: " + f.why
	default:
		if a.refusals.ours && a.announced.change("refused", since) {
			a.log.Error().Str("reason", f.why).Time("expiry", g.Expiry).Str("fix", a.advice()).
				Msg("the token cannot be renewed for over an hour; if that goes on, a login is needed before it expires")
		}
		return ""
	}
	if g.State == RefreshOutcomeUnknown {
		reason += earlierLost
	}
	return reason
}
