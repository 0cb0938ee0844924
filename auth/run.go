package auth

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
)

const (
	checkEvery = 30 * time.Second    // how soon the login of another process is noticed
	warnBefore = 14 * 24 * time.Hour // ahead of the end of a grant that only a login prolongs
	warnEvery  = 24 * time.Hour
	// overdueWithin is how long the refreshes of overdue accounts are spread over.
	overdueWithin = 5 * time.Minute
)

// Run keeps the grant fresh, used or not, until ctx ends: it refreshes a little ahead of the margin, warns once a day
// while the end of the whole grant is less than 14 days away (of a personal token: and renewals fail), and goes on by itself when somebody logs in, here or in
// another process. It has nothing to return: what goes wrong is logged, once, and told to every caller of the other methods.
func (a *Account) Run(ctx context.Context) {
	for {
		wait := a.maintain(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// WaitActive waits until there is a grant that a caller can use: after [Error.Permanent], until somebody has logged in. Its
// error is the cause of the end of ctx.
func (a *Account) WaitActive(ctx context.Context) error {
	for {
		if g, err := a.load(); err == nil && a.usable(g) {
			return nil
		}
		select {
		case <-ctx.Done():
			return a.fail("wait for login to", context.Cause(ctx))
		case <-time.After(2 * time.Second):
		}
	}
}

func (a *Account) usable(g grant.Grant) bool {
	return g.State != grant.ReauthorizeNeeded && (g.Valid(time.Now()) || a.renewable(g))
}

// maintain does what is due, and says when to look again.
func (a *Account) maintain(ctx context.Context) time.Duration {
	leave, err := a.enter(ctx, "refresh")
	if err != nil {
		return checkEvery
	}
	defer leave()
	g, err := a.settled(ctx)
	if err != nil {
		if a.state.unsaved == nil && a.state.announced.change("grant", err.Error()) {
			a.log.Warn().Err(err).Msg("no grant to keep fresh")
		}
		return checkEvery
	}
	a.metrics.stored(a.name, g)
	if g.State == grant.ReauthorizeNeeded {
		a.sayDead(g)
		return checkEvery
	}
	if a.state.announced.forget("grant") {
		a.log.Info().Int64("generation", g.Generation).Msg("somebody logged in; going on")
		a.state.retry.reset() // It waits on account of the old grant.
	}
	now := time.Now()
	a.warnOfEnd(g, now)
	if wait := a.untilDue(g, now); wait > 0 {
		return min(checkEvery, wait)
	}
	_, err = a.renewUnless(ctx, func(g grant.Grant) bool { return a.untilDue(g, time.Now()) > 0 })
	if err != nil && !a.state.retry.waiting(time.Now()) {
		return checkEvery
	}
	return max(time.Second, min(checkEvery, time.Until(a.state.retry.until)))
}

// untilDue says in how long the background is to refresh g; not positive when now. A grant that is overdue when it is
// first seen so, after a long sleep or a jump of the clock, gets a slot within the next minutes: all the other
// accounts are likely overdue as well. Callers do not wait for that.
func (a *Account) untilDue(g grant.Grant, now time.Time) time.Duration {
	if !a.renewable(g) && g.Valid(now) {
		return g.Expiry.Sub(now)
	}
	if !a.fromFuture(g, now) {
		late := now.Sub(g.Expiry.Add(-a.margin(g) - a.early(g)))
		if late < 0 {
			return -late
		}
		if late < 2*checkEvery {
			return 0
		}
	}
	if a.state.slot.generation != g.Generation || a.state.slot.from.IsZero() {
		// A grant that has no token yet has no margin of its own.
		spread := min(overdueWithin, cmp.Or(a.margin(g), a.provider.Life.Margin)/4)
		a.state.slot = slot{g.Generation, now.Add(time.Duration(float64(spread) * g.Share(a.name)))}
	}
	return a.state.slot.from.Sub(now) // By the monotonic clock.
}

// slot is when the background may refresh the grant of a generation.
type slot struct {
	generation int64
	from       time.Time
}

// sayDead logs, once, that g needs a login.
func (a *Account) sayDead(g grant.Grant) {
	if a.state.announced.change("grant", strconv.FormatInt(g.Generation, 10)+g.Reason) {
		a.log.Error().Str("reason", g.Reason).Str("fix", a.advice().String()).Msg("login needed; nothing more is sent for this account")
	}
}

// warnOfEnd says once a day that the grant nears its end. A refresh that brings a new refresh token moves the end away. A
// personal token, which is its own refresh token, is renewed long before: there the end is near only while renewals fail.
func (a *Account) warnOfEnd(g grant.Grant, now time.Time) {
	ends, before := g.RefreshExpiry, warnBefore
	text := "the grant ends soon, and only a new login prolongs it"
	switch personal := a.provider.Grant == provider.PersonalToken; {
	case personal && a.state.retry.why == nil && g.State != grant.RefreshOutcomeUnknown:
		return
	case personal:
		text = "the token ends soon, and could not be renewed so far"
		fallthrough
	case !a.renewable(g):
		ends, before = g.Expiry, min(warnBefore, g.Expiry.Sub(g.ObtainedAt)/4)
	}
	if ends.IsZero() || now.Before(ends.Add(-before)) || a.provider.Grant == provider.ClientCredentials {
		return
	}
	// The day counts back from the end, so that the wall clock may jump without a second warning.
	day := strconv.FormatInt(int64(ends.Sub(now)/warnEvery), 10)
	if a.state.announced.change("end", day+ends.String()) {
		a.log.Warn().Time("ends", ends).Str("fix", a.advice().String()).
			Msg(text)
	}
}
