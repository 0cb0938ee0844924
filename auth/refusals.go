package auth

import (
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

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
func (r *refusals) add(f *wire.Failure, now time.Time) {
	switch {
	case f.Kind != wire.Rejected:
		*r = refusals{}
		return
	case r.times == 0:
		*r = refusals{since: now, ours: true}
	}
	r.times++
	r.ours = r.ours && f.Ours
}

// lasting reports whether the row is longer than trouble at a provider usually takes.
func (r *refusals) lasting(now time.Time) bool {
	return r.times >= refusedTimes && now.Sub(r.since) > refusedFor
}

const earlierLost = "; the answer to an earlier refresh was lost"

// refusedForLong says why g is over after f, the last of a row of rejections; empty while it may not be.
func (a *Account) refusedForLong(g grant.Grant, f *wire.Failure) string {
	now := time.Now()
	if !a.state.refusals.lasting(now) {
		return ""
	}
	since := a.state.refusals.since.UTC().Format(time.RFC3339)
	reason := a.provider.Title + " refuses the login since " + since + ", "
	switch {
	case a.wire.GaveSince(a.renewalCall(g).Endpoint, a.state.refusals.since):
		reason += "and renews those of other accounts: " + f.Error()
	case a.state.refusals.ours && !g.Valid(now):
		reason += "and the access token has expired: " + f.Error()
	default:
		if a.state.refusals.ours && a.state.announced.change("refused", since) {
			a.log.Error().Str("reason", f.Error()).Time("expiry", g.Expiry).Str("fix", a.advice().String()).
				Msg("the token cannot be renewed for over an hour; if that goes on, a login is needed before it expires")
		}
		return ""
	}
	if g.State == grant.RefreshOutcomeUnknown {
		reason += earlierLost
	}
	return reason
}
