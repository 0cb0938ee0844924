package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// Token returns an access token that is valid and on disk. It refreshes first if the token is within the provider's
// margin of its expiry. However many callers there are, one refresh is sent and all wait for it. If the refresh fails
// for a reason that may pass and the token has not expired, Token returns it as it is.
func (a *Account) Token(ctx context.Context) (Token, error) {
	leave, err := a.enter(ctx, "token of")
	if err != nil {
		return Token{}, err
	}
	defer leave()
	g, err := a.renewUnless(ctx, func(g grant.Grant) bool { return a.fresh(g, time.Now()) })
	served := a.state.unsaved == nil && g.Valid(time.Now()) && (!permanent(err) || errors.Is(err, grant.ErrOutcomeUnknown) || errors.Is(err, grant.ErrClientRefused))
	if err != nil && !served {
		return Token{}, err
	}
	return tokenOf(g), nil
}

// fresh reports whether a caller gets g without a refresh.
func (a *Account) fresh(g grant.Grant, now time.Time) bool {
	return !a.due(g, now) || !a.renewable(g) && g.Valid(now)
}

// Refresh returns another access token than the one of the given generation, which the provider refused: the stored one
// if it is newer, else a new one. So one refresh is sent, however many callers and processes saw the refusal.
// Generation 0 means whichever is stored. A grant that cannot be renewed, such as one without a refresh token, stays as
// it is while its access token is valid: a refusal elsewhere does not end it.
func (a *Account) Refresh(ctx context.Context, generation int64) (Token, error) {
	leave, err := a.enter(ctx, "refresh")
	if err != nil {
		return Token{}, err
	}
	defer leave()
	g, err := a.renewUnless(ctx, func(g grant.Grant) bool {
		return generation != 0 && g.Generation != generation && g.Valid(time.Now())
	})
	if err != nil {
		return Token{}, err
	}
	return tokenOf(g), nil
}

// exchange exchanges the code of a login for a grant, saves it, and replaces any stored one. A code works once.
func (a *Account) exchange(ctx context.Context, code secret.String, at login.Attempt) error {
	release, err := a.take(ctx, "log in")
	if err != nil {
		return err
	}
	defer release()
	r, err := a.askToken(ctx, a.codeCall(code, at))
	if err != nil {
		e := a.fail("log in", fmt.Errorf("%s gave no token: %w", a.provider.Title, err))
		e.Fix = advice.Fix{Before: "run: ", Command: advice.Login(a.name), After: " once more; a code works once and for a few minutes"}
		return e
	}
	g := granted(grant.Grant{}, r, a.provider, time.Now())
	// The generation continues, so that holders of the old token see that this one is newer. Ignore a damaged grant:
	// a login repairs it.
	old, _ := a.store.Load(a.name)
	g.Generation, g.Login = old.Generation+1, old.Login.Next(rand.Text(), r.At)
	if g, err = a.put(old.Generation, g); err != nil {
		return err
	}
	a.state.retry.reset()
	a.state.refusals = refusals{}
	a.log.Info().Int64("generation", g.Generation).Time("expiry", g.Expiry).Msg("logged in")
	return nil
}

// dead returns the error for a grant that was written off, or nil.
func (a *Account) dead(g grant.Grant) error {
	if g.State != grant.ReauthorizeNeeded {
		return nil
	}
	return a.fail("token of", fmt.Errorf("%w: %s", grant.ErrReauthorize, g.Reason))
}

// renewUnless returns the stored grant if good accepts it, else a new one. It calls good again once it has the lock,
// because another process may have refreshed meanwhile. The caller holds the turn. On error, an *Error, the grant is
// the stored one, or the zero Grant if that could not be read or was written off.
func (a *Account) renewUnless(ctx context.Context, good func(grant.Grant) bool) (grant.Grant, error) {
	g, err := a.living(a.settled(ctx))
	if err != nil || good(g) {
		return g, err
	}
	if a.state.retry.waiting(time.Now()) {
		return g, a.retryError()
	}
	patience := grant.LockPatience
	if g.Valid(time.Now()) {
		patience = lockBriefly
	}
	unlock, err := a.lock(ctx, "refresh", patience)
	if err != nil {
		if ctx.Err() == nil {
			a.backOff(0, errors.Unwrap(err))
		}
		return g, err
	}
	defer unlock()
	if g, err = a.living(a.load()); err != nil || good(g) {
		return g, err
	}
	next, err := a.renew(ctx, g)
	if err != nil {
		return g, err
	}
	return next, nil
}

// living turns a grant that was written off into its error.
func (a *Account) living(g grant.Grant, err error) (grant.Grant, error) {
	if err == nil {
		err = a.dead(g)
	}
	if err != nil {
		return grant.Grant{}, err
	}
	return g, nil
}

// renew sends one refresh for g, which must be the stored grant, and saves the result. The caller holds the turn and
// the lock. The error is an *Error.
func (a *Account) renew(ctx context.Context, g grant.Grant) (grant.Grant, error) {
	if err := a.clientError("token of"); err != nil {
		return grant.Grant{}, err
	}
	switch {
	case a.renewable(g):
	case g.Valid(time.Now()):
		return grant.Grant{}, a.noRenewal(g)
	default:
		return grant.Grant{}, a.writeOff(g, a.ended(g))
	}
	if a.state.retry.waiting(time.Now()) {
		return grant.Grant{}, a.retryError()
	}
	if a.provider.Grant == provider.ClientCredentials {
		return a.askAgain(ctx, g)
	}
	if g.State == grant.RefreshOutcomeUnknown {
		if err := a.probe(ctx, g); err != nil {
			return grant.Grant{}, err
		}
	}

	request := a.renewalCall(g)
	if err := a.wire.Wait(ctx, request.Endpoint); err != nil {
		return grant.Grant{}, a.postponed(wire.AsFailure(err))
	}
	request.Waited = true
	marked := g
	marked.State = grant.RefreshOutcomeUnknown
	marked.Reason = "a refresh was sent at " + time.Now().UTC().Format(time.RFC3339) + " and its answer is not saved yet"
	if err := a.store.Save(a.name, marked); err != nil {
		e := a.diskError(err)
		a.backOff(0, e.Err)
		return grant.Grant{}, e
	}
	r, err := a.askToken(ctx, request)
	a.metrics.refreshed(a.name, err)
	if err == nil {
		return a.renewed(g, granted(g, r, a.provider, time.Now()))
	}
	return a.notRenewed(g, marked, wire.AsFailure(err))
}

// notRenewed handles the failure f of a refresh for g. The store holds marked.
func (a *Account) notRenewed(g, marked grant.Grant, f *wire.Failure) (grant.Grant, error) {
	a.state.refusals.add(f, time.Now())
	if g.State == grant.Active {
		g.Reason = ""
	}
	switch f.Kind {
	case wire.Refused:
		reason := a.provider.Title + " refused the refresh token: " + f.Error()
		if g.State == grant.RefreshOutcomeUnknown {
			reason += earlierLost
		}
		return grant.Grant{}, a.writeOff(g, reason)
	case wire.Rejected:
		if reason := a.refusedForLong(g, f); reason != "" {
			return grant.Grant{}, a.writeOff(g, reason)
		}
		if g.State == grant.Active {
			g.Reason = a.provider.Title + " does not renew the token since " + a.state.refusals.since.UTC().Format(time.RFC3339) + ": " + f.Error()
		}
	case wire.LostReply:
		marked.Reason = "the answer to a refresh at " + time.Now().UTC().Format(time.RFC3339) + " was lost: " + f.Error()
		g = marked
	}
	a.backOff(f.After, f)
	switch stored, err := a.swap(g.Generation, g); {
	case errors.Is(err, grant.ErrNone):
		return grant.Grant{}, err
	case err == nil && stored.Generation != g.Generation:
		return stored, nil
	}
	// If this could not be saved, the outcome stays unknown in the store, which is the safe side.
	return grant.Grant{}, a.retryError()
}

// errNoRenewal is the error for a grant that ends with its access token.
var errNoRenewal = errors.New("the provider gave no refresh token, so the login cannot be renewed")

func (a *Account) noRenewal(g grant.Grant) *Error {
	e := a.fail("refresh", fmt.Errorf("%w; it ends at %s", errNoRenewal, g.Expiry.UTC().Format(time.RFC3339)))
	e.Fix = a.advice()
	e.Fix.Before = "for a new one " + e.Fix.Before
	return e
}

func (a *Account) renewed(old, next grant.Grant) (grant.Grant, error) {
	a.state.retry.reset()
	a.state.refusals = refusals{}
	g, err := a.put(old.Generation, next)
	if err != nil {
		return grant.Grant{}, err
	}
	a.log.Info().Int64("generation", g.Generation).Time("expiry", g.Expiry).
		Bool("after_failures", a.state.announced.forget("refresh")).Msg("token refreshed")
	return g, nil
}

// postponed returns the error for a refresh that was not sent.
func (a *Account) postponed(f *wire.Failure) error {
	if f.Cause != nil {
		return a.fail("refresh", f)
	}
	a.backOff(f.After, f)
	return a.retryError()
}

// backOff delays the next attempt after a failure, and logs the failure if it differs from the last one.
func (a *Account) backOff(after time.Duration, why error) {
	a.state.retry.failed(time.Now(), after, why)
	if a.state.announced.change("refresh", why.Error()) {
		a.log.Warn().Str("reason", why.Error()).Time("next_attempt", a.state.retry.until).
			Msg("the token cannot be refreshed at the moment; trying again")
	}
}

// writeOff ends g: it logs that once, and nothing is sent for g again. It returns the error for the caller.
func (a *Account) writeOff(g grant.Grant, reason string) error {
	base := g.Generation
	g.State, g.Reason = grant.ReauthorizeNeeded, reason
	stored, err := a.put(base, g)
	if err != nil {
		return err
	}
	if stored.Generation != base {
		return a.fail("refresh", errors.New("somebody logged in meanwhile; try again"))
	}
	a.state.retry.reset()
	a.state.announced.forget("refresh")
	a.sayDead(g)
	return a.dead(g)
}

// probe uses the access token to find out whether the provider is reachable and whether a refresh with a lost reply was
// carried out. It returns nil if the refresh token may be sent again.
func (a *Account) probe(ctx context.Context, g grant.Grant) error {
	if !a.canProbe() && !g.Valid(time.Now()) {
		return nil // The access token has expired: only the refresh token is left, and trying it risks nothing.
	}
	if !a.canProbe() {
		if a.state.announced.change("refresh", g.Reason) {
			a.log.Warn().Str("reason", g.Reason).Time("expiry", g.Expiry).
				Msg("whether the refresh token still works is unknown; log in again before the access token expires")
		}
		return a.fail("refresh", fmt.Errorf("%w: %s", grant.ErrOutcomeUnknown, g.Reason))
	}
	f := wire.AsFailure(a.tryToken(ctx, tokenOf(g)))
	switch {
	case f == nil: // So the refresh was most likely not carried out.
		a.log.Info().Str("reason", g.Reason).Msg("the access token still works after a lost answer; refreshing again")
		return nil
	case f.Kind == wire.Refused && a.provider.RefreshConsumesAccess:
		return a.writeOff(g, g.Reason+"; since then the access token is refused, so the refresh was carried out and its token is lost")
	case f.Kind == wire.Refused, f.Kind == wire.Rejected && !g.Valid(time.Now()):
		return nil // Expired or replaced: only the refresh token is left, and trying it risks nothing.
	case f.Kind == wire.Rejected:
		return a.postponed(f)
	default:
		a.state.refusals = refusals{}
		return a.postponed(f)
	}
}

// askToken sends c to a token endpoint and counts the request. The error is a *wire.Failure.
func (a *Account) askToken(ctx context.Context, c wire.Call) (reply.Reply, error) {
	r, err := a.sendToken(ctx, c)
	if f := wire.AsFailure(err); f != nil && f.Kind == wire.LostReply && a.provider.RefreshConsumesAccess {
		f.After = max(f.After, settleFor)
	}
	a.metrics.requested(a.name, err)
	return r, err
}

func (a *Account) sendToken(ctx context.Context, c wire.Call) (reply.Reply, error) {
	ans, err := a.wire.Send(ctx, a.provider.Request.Style, c)
	if err != nil {
		return reply.Reply{}, err
	}
	if ans.Status/100 != http.StatusOK/100 {
		f := ans.Judge(a.provider)
		if a.provider.RefreshConsumesAccess && ans.Status >= http.StatusInternalServerError {
			f.Kind = wire.LostReply // The server may have consumed the token before it failed.
		}
		return reply.Reply{}, f
	}
	now := time.Now()
	r, err := reply.Decode(ans.Body, now)
	if err == nil {
		if r.Lifetime == 0 && a.provider.Grant == provider.PersonalToken {
			_, expiry := lifeOf(r.Access, now, a.provider.Lifetimes.Access)
			r.Lifetime = reply.Lifetime(expiry, now)
		}
		if r.Dropped != "" {
			a.log.Warn().Str("reason", r.Dropped).Msg("the provider's reply has an unusable field, which is dropped")
		}
		a.wire.IssuedAt(c.Endpoint, now)
		r.At = ans.At
		return r, nil
	}
	if f := ans.Judge(a.provider); f != nil {
		return reply.Reply{}, f
	}
	return reply.Reply{}, &wire.Failure{Kind: wire.LostReply, Why: fmt.Sprintf("HTTP %d, but %s", ans.Status, err)}
}
