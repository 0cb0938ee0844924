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
	checkEvery = 30 * time.Second    // how soon a login by another process is noticed
	warnBefore = 14 * 24 * time.Hour // before the end of a grant that only a login extends
	warnEvery  = 24 * time.Hour
	// overdueWithin is the period over which refreshes of overdue accounts are spread.
	overdueWithin = 5 * time.Minute
)

// Run keeps the grant fresh, used or not, until ctx ends. It refreshes shortly before the margin, and continues by
// itself after a login here or in another process. It warns once a day if the whole grant ends within 14 days; for a
// personal token, only while renewals fail. Failures are logged once, and returned to every caller of the other
// methods.
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

// WaitActive waits until there is a usable grant, for example until somebody has logged in after an error with
// [Error.Permanent]. The error is the cause of the end of ctx.
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

// maintain does what is due, and returns how long to wait for the next check.
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
		a.state.retry.reset() // The backoff was for the old grant.
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

// untilDue returns in how long [Account.Run] should refresh g; zero or negative means now. A grant that is already
// overdue when first seen, after a long sleep or a clock change, gets a slot within the next minutes, because all other
// accounts are probably overdue too. Callers that need a token do not wait for the slot.
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
		// A grant without a token has no margin of its own.
		spread := min(overdueWithin, cmp.Or(a.margin(g), a.provider.Lifetimes.Margin)/4)
		a.state.slot = slot{g.Generation, now.Add(time.Duration(float64(spread) * g.Share(a.name)))}
	}
	return a.state.slot.from.Sub(now) // by the monotonic clock
}

// slot is when Run may refresh the grant of a generation.
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

// warnOfEnd logs once a day that the grant will soon end. A refresh that brings a new refresh token moves the end. A
// personal token is its own refresh token and is renewed long before its end, so it only gets close to it if renewals
// fail.
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
	// Days count back from the end, so that a clock change causes no second warning.
	day := strconv.FormatInt(int64(ends.Sub(now)/warnEvery), 10)
	if a.state.announced.change("end", day+ends.String()) {
		a.log.Warn().Time("ends", ends).Str("fix", a.advice().String()).
			Msg(text)
	}
}
