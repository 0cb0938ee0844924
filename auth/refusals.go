package auth

import (
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/wire"
)

const (
	// refusedFor is how long an endpoint must reject a grant without naming it before that counts as a refusal.
	refusedFor = time.Hour
	// refusedTimes is the minimum number of rejections in that time.
	refusedTimes = 4
)

// refusals is a series of rejections without any other failure in between.
type refusals struct {
	since time.Time // with a monotonic reading, so that clock changes do not matter
	times int
	ours  bool // all of them were API errors
}

// add counts a failure, or resets the series if it is no rejection.
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

// lasting reports whether the series is longer than an outage of a provider usually is.
func (r *refusals) lasting(now time.Time) bool {
	return r.times >= refusedTimes && now.Sub(r.since) > refusedFor
}

const earlierLost = "; the answer to an earlier refresh was lost"

// refusedForLong returns why g has ended, given f, the latest of a series of rejections. It returns an empty string
// while g may still work.
func (a *Account) refusedForLong(g grant.Grant, f *wire.Failure) string {
	now := time.Now()
	if !a.state.refusals.lasting(now) {
		return ""
	}
	since := a.state.refusals.since.UTC().Format(time.RFC3339)
	reason := a.provider.Title + " refuses the login since " + since + ", "
	switch {
	case a.wire.IssuedSince(a.renewalCall(g).Endpoint, a.state.refusals.since):
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
