// Package auth keeps the tokens of accounts alive: login, refresh ahead of expiry, one refresh at a time, saved before
// used, and an end that is said once when the provider refuses the grant.
//
// A provider is a value of the package provider; an [Account] is one grant at a provider and the only place that talks to it
// about tokens; a [Store] keeps grants, in files with the package store. Beside these, grant has what a login brings and the
// reasons why there may be no token, login the way through the browser, wire the requests, reply the reading of what comes
// back, and advice what a person does about an error.
//
// The rules that hold whatever happens:
//
//   - However many goroutines and processes want a token, one refresh is sent. Whoever waited reads the store again.
//   - No caller ever gets a token that is not in the store. A token that cannot be saved is kept in memory and saved
//     before anything else is sent.
//   - A refresh token is written off (state reauthorize_needed) only when the provider refuses it: by a JSON answer that
//     names the token or the grant, or by turning it away for over an hour while the endpoint is otherwise well, which
//     means that it gave tokens to other accounts, or that every answer was an error of an API and the access token is
//     over. A status code, a web page or the words of a gateway end nothing. Like timeouts, server errors, throttling, DNS
//     and TLS trouble they are waited out with backoff, and a token that is still valid is served meanwhile.
//   - A token that was issued just now and is refused at another endpoint speaks against that endpoint, not against the
//     grant.
//   - Where a provider asked by Retry-After to be left alone, no account with the same [wire.Transport] sends it anything there
//     before that is over; and together they send no host more than ten token requests a second.
//   - Before a refresh is sent, the store says that its outcome is unknown. When the reply is lost, or the process dies,
//     the refresh token goes out again only when the access token is due, after the store was read again and the access
//     token was tried at the provider, or is over where the provider has no way to try it. At that point nothing is left
//     to lose by trying.
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

// Store keeps one grant for each account. It may be shared by several accounts and by several processes.
type Store interface {
	// Lock waits until nobody else, here or in another process, holds the lock of the account, and takes it. The
	// lock of a process that died is free. Its error is or wraps the cause of the end of ctx when that came first.
	Lock(ctx context.Context, account string) (unlock func(), err error)
	// Load gives the grant of an account. Its error is or wraps [grant.ErrNone] when there is none, and wraps
	// [grant.ErrUnusable] when there is one that only a person can repair.
	Load(account string) (grant.Grant, error)
	// Save replaces the grant of an account. When it returns nil, the grant survives a power cut.
	Save(account string, g grant.Grant) error
	// Delete forgets the grant of an account. Its error is or wraps [grant.ErrNone] when there is none.
	Delete(account string) error
}

// Options are what an account needs of its surroundings. The zero value works.
type Options struct {
	// Transport sends the requests; nil means one of the account's own, as [wire.NewTransport] makes it. Accounts of one process should
	// share one [wire.Transport]. Redirects, cookies and deadlines are this package's business in either case.
	Transport http.RoundTripper
	Log       zerolog.Logger
	UserAgent string   // "relay" when empty
	Metrics   *Metrics // nil counts nothing
}

// Account is one grant at one provider. Its methods may be called at once from many goroutines. A method that was given
// a context returns soon after that ends, or up to five seconds later while a token request is under way, whose answer
// would otherwise be lost.
type Account struct {
	name     string
	provider provider.Provider // with the config's own wishes in it
	client   client
	store    Store
	wire     wire.Client
	log      zerolog.Logger
	metrics  *Metrics

	// turn is held by whoever reads, changes and saves the grant, so that there is one refresh at a time in this
	// process. Whoever changes it holds the lock of the store as well.
	turn chan struct{}
	// clientRefused holds why, from the moment when the provider refuses client_id or client_secret.
	clientRefused atomic.Pointer[string]
	state         state    // belongs to the holder of turn
	renewals      renewals // on account of the endpoint for socket tokens
}

// client is what relay is to the provider.
type client struct {
	id       string
	secret   secret.String
	redirect string // as the config has it
}

// state is what an account remembers beside its grant.
type state struct {
	unsaved   *unsavedGrant // arrived, and not on disk yet
	retry     retry         // when a refresh is sent again after one that failed
	refusals  refusals      // of the refresh
	announced notices       // what has been logged already
	slot      slot          // when the background may refresh a grant that was found overdue
}

// unsavedGrant is to replace the stored grant of generation base.
type unsavedGrant struct {
	base  int64
	grant grant.Grant
}

// New checks cfg and makes an account of it, without touching the store or the network. Its error names every field of the
// config that is wrong.
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

// Status tells what is stored, without asking the provider. It returns [grant.ErrNone] in an [*Error] when nothing is, except
// for [provider.ClientCredentials], where the state is then [grant.Ready], and so it is when what is stored is [grant.ErrUnusable].
func (a *Account) Status() (Status, error) {
	g, err := a.load()
	if err != nil {
		return Status{}, err
	}
	if why := a.clientRefused.Load(); why != nil {
		g.State, g.Reason = grant.ClientRefused, *why
	}
	if g.State == grant.ReauthorizeNeeded {
		g.Expiry, g.RefreshExpiry = time.Time{}, time.Time{} // Nothing is left of them.
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

// remedy says what a person has to do about g.
func (a *Account) remedy(g grant.Grant) advice.Fix {
	switch g.State {
	case grant.ReauthorizeNeeded, grant.ClientRefused:
		return a.advice()
	case grant.RefreshOutcomeUnknown:
		// With a valid token and a way to try it, a running relay finds out by itself.
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
	if errors.Is(err, grant.ErrUnusable) && advice.Of(err).Empty() { // A mode says itself what to do.
		e.Fix = a.advice()
	}
	return e
}

// load reads the stored grant. Its error is an *Error.
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

// current is load for the holder of the turn and the lock: what arrived earlier and could not be saved is saved first.
func (a *Account) current() (grant.Grant, error) {
	if late := a.state.unsaved; late != nil {
		return a.put(late.base, late.grant)
	}
	return a.load()
}

// settled is current for the holder of the turn alone. It takes the lock only when there is something to save.
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

// put saves g in place of the stored grant of generation base, which is 0 for none. It gives what is stored in the end:
// when somebody logged in or out meanwhile, theirs stands and g is dropped. A grant that cannot be saved is kept for
// current. The error is an *Error.
func (a *Account) put(base int64, g grant.Grant) (grant.Grant, error) {
	stored, err := a.swap(base, g)
	if err == nil || errors.Is(err, grant.ErrNone) {
		a.state.unsaved = nil
		a.state.announced.forget("save")
		return stored, err
	}
	a.state.unsaved = &unsavedGrant{base: base, grant: g}
	if a.state.announced.change("save", err.Error()) {
		a.log.Error().Err(err).Msg("the answer of the provider cannot be saved, and is not used until it is")
	}
	return grant.Grant{}, err
}

// swap is put without the memory.
func (a *Account) swap(base int64, g grant.Grant) (grant.Grant, error) {
	stored, err := a.store.Load(a.name)
	// The same token is there when an earlier attempt failed after the rename, and is saved again to be sure.
	same := stored.AccessToken == g.AccessToken
	if (err == nil || errors.Is(err, grant.ErrNone)) && stored.Generation != base && !same {
		a.log.Info().Msg("the answer of the provider is dropped: somebody logged in or out meanwhile")
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

// retryError says why nothing is sent at the moment.
func (a *Account) retryError() *Error {
	e := a.fail("refresh", a.state.retry.why)
	e.RetryAt = a.state.retry.until
	e.Fix = advice.Do("next attempt in " + max(time.Second, time.Until(a.state.retry.until).Round(time.Second)).String())
	return e
}
