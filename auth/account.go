// Package auth manages the tokens of accounts: it logs in, refreshes tokens before they expire, saves each token before
// it is used, and reports once when a provider ends a grant.
//
// An [Account] is one grant at one provider, and the only code that requests tokens for it. A provider is a value of
// package provider. A [Store] keeps grants; package store implements it with files. Package grant defines a grant, its
// states and the errors for a missing token; login runs the login in a browser; wire sends requests; reply parses what
// providers answer; advice says how to fix an error.
//
// These rules always hold:
//
//   - However many goroutines and processes want a token, one refresh is sent. Everyone else waits and then reads the
//     store again.
//   - A caller only gets a token that is in the store. A token that cannot be saved is kept in memory, and nothing
//     else is sent until it is saved.
//   - A grant is written off (state reauthorize_needed) only if the provider refuses it. Either a JSON reply names the
//     token or the grant, or the endpoint rejects it for over an hour and works otherwise: it issues tokens to other
//     accounts, or every reply was an API error and the access token has expired. A status code, a web page or a
//     gateway's message alone never ends a grant. Like timeouts, server errors, throttling, DNS and TLS failures,
//     these are retried with backoff, and callers get the current token while it is valid.
//   - If another endpoint refuses a token that was just issued, that endpoint is to blame, not the grant.
//   - While a provider's Retry-After applies, no account with the same [wire.Transport] sends anything to that
//     endpoint. Together these accounts send at most ten token requests a second to a host.
//   - Before a refresh is sent, the store records that its outcome is unknown. If the reply is lost or the process
//     dies, the refresh token is sent again only when the access token is due, and only after reading the store again
//     and probing the access token. If the provider has no probe, it is sent once the access token has expired. By
//     then, trying again risks nothing.
package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// Store keeps one grant per account. Several accounts and processes may share it.
type Store interface {
	// Lock waits for the exclusive lock of an account, across goroutines and processes, and takes it. The lock of a
	// dead process is free. If ctx ends first, the error is or wraps its cause.
	Lock(ctx context.Context, account string) (unlock func(), err error)
	// Load returns the grant of an account. The error is or wraps [grant.ErrNone] if there is none, and wraps
	// [grant.ErrUnusable] if a person must repair the stored one.
	Load(account string) (grant.Grant, error)
	// Save replaces the grant of an account. Once it returns nil, the grant survives a power failure.
	Save(account string, g grant.Grant) error
	// Delete removes the grant of an account. The error is or wraps [grant.ErrNone] if there is none.
	Delete(account string) error
}

// Options configure an account beyond its [Config]. The zero value works.
type Options struct {
	// Transport sends the requests; nil means a new one from [wire.NewTransport]. Accounts of one process should share
	// one [wire.Transport]. In either case this package handles redirects, cookies and deadlines.
	Transport http.RoundTripper
	Log       zerolog.Logger
	UserAgent string   // "relay" if empty
	Metrics   *Metrics // nil counts nothing
}

// Account is one grant at one provider. It is safe for concurrent use. A method with a context returns soon after the
// context ends, or up to five seconds later while a token request is in flight, because its reply would otherwise be
// lost.
type Account struct {
	name     string
	provider provider.Provider // with the overrides of the config
	client   client
	store    Store
	wire     wire.Client
	log      zerolog.Logger
	metrics  *Metrics

	// turn is held by the goroutine that reads, changes and saves the grant, so that a process sends one refresh at a
	// time. To change the grant, the goroutine holds the lock of the store as well.
	turn chan struct{}
	// clientRefused is the reason, once the provider has refused client_id or client_secret.
	clientRefused atomic.Pointer[string]
	state         state    // owned by the holder of turn
	renewals      renewals // caused by the endpoint for socket tokens
}

// client identifies relay to the provider.
type client struct {
	id       string
	secret   secret.String
	redirect string // redirect_url of the config
}

// state is what an account remembers besides its grant.
type state struct {
	unsaved   *unsavedGrant // received, but not on disk yet
	retry     retry         // when to send a refresh again after a failure
	refusals  refusals      // of refreshes
	announced notices       // what has been logged already
	slot      slot          // when Run may refresh a grant that it found overdue
}

// unsavedGrant will replace the stored grant of generation base.
type unsavedGrant struct {
	base  int64
	grant grant.Grant
}

// New checks cfg and returns an account for it, without using the store or the network. The error names every wrong
// field of the config.
func New(cfg Config, store Store, opts Options) (*Account, error) {
	p := cfg.provider()
	a := &Account{
		name:     cfg.Account,
		provider: p,
		client:   client{id: cfg.ClientID, secret: cfg.ClientSecret, redirect: cfg.RedirectURL},
		store:    store,
		log:      opts.Log.With().Str("account", cfg.Account).Str("provider", cfg.Provider.Name).Logger(),
		metrics:  opts.Metrics,
		turn:     make(chan struct{}, 1),
		state:    state{retry: newRetry()},
	}
	a.wire = wire.New(opts.Transport, cmp.Or(opts.UserAgent, "relay"))
	if err := cfg.check(p); err != nil {
		return nil, err
	}
	return a, nil
}

// Status describes the stored grant, without a request to the provider. If there is none, it returns [grant.ErrNone] in
// an [*Error]. With [provider.ClientCredentials], the state is [grant.Ready] instead, also if the stored grant is
// [grant.ErrUnusable].
func (a *Account) Status() (Status, error) {
	g, err := a.load()
	if err != nil {
		return Status{}, err
	}
	if why := a.clientRefused.Load(); why != nil {
		g.State, g.Reason = grant.ClientRefused, *why
	}
	if g.State == grant.ReauthorizeNeeded {
		g.Expiry, g.RefreshExpiry = time.Time{}, time.Time{} // They ended with the grant.
	}
	return Status{
		Account:       a.name,
		Provider:      a.provider.Name,
		State:         g.State,
		Reason:        g.Reason,
		ObtainedAt:    g.ObtainedAt,
		Expiry:        g.Expiry,
		RefreshExpiry: g.RefreshExpiry,
		Refreshable:   a.renewable(g),
		Generation:    g.Generation,
		Fix:           a.remedy(g),
	}, nil
}

// remedy returns what a person must do about g.
func (a *Account) remedy(g grant.Grant) advice.Fix {
	switch g.State {
	case grant.ReauthorizeNeeded, grant.ClientRefused:
		return a.advice()
	case grant.RefreshOutcomeUnknown:
		// A running relay finds out by itself if it can probe a valid token.
		if !a.canProbe() || !g.Valid(time.Now()) {
			return a.advice()
		}
	}
	return advice.Fix{}
}

func (a *Account) fail(op string, err error) *Error {
	e := &Error{Account: a.name, Op: op, Err: err}
	if errors.Is(err, grant.ErrNone) || errors.Is(err, grant.ErrReauthorize) || errors.Is(err, grant.ErrOutcomeUnknown) ||
		errors.Is(err, grant.ErrClientRefused) {
		e.Fix = a.advice()
	}
	if errors.Is(err, grant.ErrUnusable) && advice.FixOf(err).Empty() { // The error for a loose file mode has its own fix.
		e.Fix = a.advice()
	}
	return e
}

// load reads the stored grant. The error is an *Error.
func (a *Account) load() (grant.Grant, error) {
	g, err := a.store.Load(a.name)
	foreign := err == nil && g.Provider != a.provider.Name
	switch {
	case a.provider.Grant == provider.ClientCredentials && (foreign || errors.Is(err, grant.ErrNone) || errors.Is(err, grant.ErrUnusable)):
		return a.blank(g.Generation), nil
	case errors.Is(err, grant.ErrNone):
		return grant.Grant{}, a.fail("token of", grant.ErrNone)
	case err != nil:
		return grant.Grant{}, a.fail("token of", err)
	case foreign:
		return grant.Grant{}, a.fail("token of", fmt.Errorf("%w at %s: the stored grant is of %q",
			grant.ErrNone, a.provider.Name, g.Provider))
	}
	return g, nil
}

// current is load for the holder of the turn and the lock. It first saves a grant that could not be saved earlier.
func (a *Account) current() (grant.Grant, error) {
	if late := a.state.unsaved; late != nil {
		return a.put(late.base, late.grant)
	}
	return a.load()
}

// settled is current for the holder of the turn only. It takes the lock only if there is something to save.
func (a *Account) settled(ctx context.Context) (grant.Grant, error) {
	if a.state.unsaved == nil {
		return a.load()
	}
	unlock, err := a.lock(ctx, "save token of", grant.LockPatience)
	if err != nil {
		return grant.Grant{}, err
	}
	defer unlock()
	return a.current()
}

// put saves g in place of the stored grant of generation base; 0 means none. It returns the grant that is stored
// afterwards: if somebody logged in or out in the meantime, theirs stays and g is dropped. A grant that cannot be saved
// is kept for current. The error is an *Error.
func (a *Account) put(base int64, g grant.Grant) (grant.Grant, error) {
	stored, err := a.swap(base, g)
	if err == nil || errors.Is(err, grant.ErrNone) {
		a.state.unsaved = nil
		a.state.announced.forget("save")
		return stored, err
	}
	a.state.unsaved = &unsavedGrant{base: base, grant: g}
	if a.state.announced.change("save", err.Error()) {
		a.log.Error().Err(err).Msg("the provider's reply cannot be saved, and is not used until it is")
	}
	return grant.Grant{}, err
}

// swap is put without keeping a grant that cannot be saved.
func (a *Account) swap(base int64, g grant.Grant) (grant.Grant, error) {
	stored, err := a.store.Load(a.name)
	// The same token is stored if an earlier attempt failed after the rename. Save it again to be sure.
	same := stored.AccessToken == g.AccessToken
	if (err == nil || errors.Is(err, grant.ErrNone)) && stored.Generation != base && !same {
		a.log.Info().Msg("the provider's reply is dropped: somebody logged in or out meanwhile")
		return a.load()
	}
	if err := a.store.Save(a.name, g); err != nil {
		return grant.Grant{}, a.diskError(err)
	}
	a.metrics.stored(a.name, g)
	return g, nil
}

func (a *Account) diskError(err error) *Error {
	e := a.fail("save token of", err)
	e.Fix = advice.Do("make the disk writable; no token is used before it is saved")
	return e
}

// retryError returns the error while refreshes wait for the backoff.
func (a *Account) retryError() *Error {
	e := a.fail("refresh", a.state.retry.why)
	e.RetryAt = a.state.retry.until
	e.Fix = advice.Do("next attempt in " + max(time.Second, time.Until(a.state.retry.until).Round(time.Second)).String())
	return e
}
