// Package logins runs logins to accounts for the dashboard: in the relay that runs, with a browser that may be on another machine. Each is what
// relay auth login does.
package logins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
)

const (
	// limit is how long a login may take.
	limit = 10 * time.Minute
	// pasteLimit bounds a pasted address or token, in bytes.
	pasteLimit = 32 << 10
	// patience bounds how long a request waits for what comes of a pasted address.
	patience = time.Minute
)

// The causes of the end of a login.
var (
	errStopping = errors.New("relay stops")
	errCanceled = errors.New("it was canceled")
)

// Account is the account to log in to.
type Account interface {
	Login(ctx context.Context, opts login.Options) error
	ImportToken(ctx context.Context, token secret.String) error
}

// Find returns an account, and its provider. ok is false if the configuration has none with that name.
type Find func(name string) (a Account, p provider.Provider, ok bool)

// Logins are the logins to accounts, at most one of each at a time. Its methods are safe for concurrent use.
type Logins struct {
	find Find

	mu     sync.Mutex
	closed bool
	all    map[string]*attempt // the latest of each account
	work   sync.WaitGroup
}

// New returns Logins without any. They must be closed.
func New(find Find) *Logins { return &Logins{find: find, all: make(map[string]*attempt)} }

// attempt is one login.
type attempt struct {
	cancel  context.CancelCauseFunc
	expires time.Time
	ready   chan struct{} // closed when url is set, or when it has ended
	ended   chan struct{}
	pasting sync.Mutex // held by the request that pastes
	paste   net.Conn

	mu      sync.Mutex
	url     string
	refused int    // how many replies were refused
	reason  string // why the latest was
	changed chan struct{}
	done    bool
	err     error
}

// Start starts a login, and returns the address to open in a browser. If a login to the account is under way, it returns the address of that.
func (l *Logins) Start(ctx context.Context, name string) (api.Login, error) {
	account, _, err := l.account(name)
	if err != nil {
		return api.Login{}, err
	}
	a, err := l.start(ctx, name, account)
	if err != nil {
		return api.Login{}, err
	}
	select {
	case <-a.ready:
	case <-ctx.Done():
		return api.Login{}, context.Cause(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.url == "" {
		return api.Login{}, refusal(a.err)
	}
	return api.Login{URL: a.url, Expires: a.expires.UTC()}, nil
}

// start returns the login to an account that is under way, or starts one.
func (l *Logins) start(ctx context.Context, name string, account Account) (*attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, refusal(errStopping)
	}
	if a := l.all[name]; a != nil && !a.over() {
		return a, nil
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // it outlives the request
	ours, theirs := net.Pipe()
	a := &attempt{
		cancel: cancel, expires: time.Now().Add(limit), ready: make(chan struct{}), ended: make(chan struct{}), paste: ours, changed: make(chan struct{}),
	}
	l.all[name] = a
	l.work.Go(func() {
		defer cancel(nil)
		a.run(ctx, account, theirs)
	})
	return a, nil
}

// run runs the login to its end. It reads the pasted addresses from pasted.
func (a *attempt) run(ctx context.Context, account Account, pasted net.Conn) {
	open := sync.OnceFunc(func() { close(a.ready) })
	err := account.Login(ctx, login.Options{
		Browser: func(url string) error {
			a.change(func() { a.url = url })
			open()
			return nil
		},
		Paste: pasted, Timeout: limit, Prompt: io.Discard,
		Refused: func(reason string) { a.change(func() { a.refused, a.reason = a.refused+1, reason }) },
	})
	a.change(func() { a.done, a.err = true, err })
	_ = errors.Join(pasted.Close(), a.paste.Close()) // they never fail
	open()
	close(a.ended)
}

// change changes the state of the login, and wakes those who wait for that.
func (a *attempt) change(apply func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	apply()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *attempt) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done
}

// State returns the state of the latest login to an account.
func (l *Logins) State(name string) (api.LoginState, error) {
	_, p, err := l.account(name)
	if err != nil {
		return api.LoginState{}, err
	}
	l.mu.Lock()
	a := l.all[name]
	l.mu.Unlock()
	return a.state(p), nil
}

// state returns the state of a login. Nil is none.
func (a *attempt) state(p provider.Provider) api.LoginState {
	s := api.LoginState{State: api.LoginNone, Method: api.LoginBrowser}
	switch p.Grant {
	case provider.PersonalToken:
		s.Method, s.TokenPage = api.LoginToken, p.TokenPage
	case provider.ClientCredentials:
		s.Method = api.LoginNotNeeded
	case provider.AuthorizationCode:
	}
	if a == nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.done:
		s.State, s.Detail = api.LoginWaiting, a.reason
	case a.err != nil:
		wrong, fix := advice.Split(a.err)
		s.State, s.Detail, s.Hint = api.LoginFailed, text.Line(wrong), api.HintOf(fix)
	default:
		s.State = api.LoginDone
	}
	return s
}

// Cancel ends the login to an account, if one is under way. It returns when that has ended.
func (l *Logins) Cancel(ctx context.Context, name string) error {
	if _, _, err := l.account(name); err != nil {
		return err
	}
	l.mu.Lock()
	a := l.all[name]
	delete(l.all, name)
	l.mu.Unlock()
	if a == nil {
		return nil
	}
	a.cancel(errCanceled)
	select {
	case <-a.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Paste passes on the address that the browser ended on, or makes a personal token the login of the account. It returns what came of that.
func (l *Logins) Paste(ctx context.Context, name string, order *api.PasteRequest) (api.LoginState, error) {
	account, p, err := l.account(name)
	if err != nil {
		return api.LoginState{}, err
	}
	address := strings.TrimSpace(order.Address)
	switch token := strings.TrimSpace(order.Token); {
	case (address == "") == (token == ""):
		return api.LoginState{}, usage(errors.New("want either address or token"))
	case len(address)+len(token) > pasteLimit || strings.ContainsAny(address, "\r\n"):
		return api.LoginState{}, usage(errors.New("paste one line, the whole address line of the browser"))
	case token != "":
		if err := account.ImportToken(ctx, secret.New(token)); err != nil {
			return api.LoginState{}, refusal(err)
		}
		s := (*attempt)(nil).state(p)
		s.State = api.LoginDone
		return s, nil
	}
	l.mu.Lock()
	a := l.all[name]
	l.mu.Unlock()
	if a == nil || a.over() {
		return api.LoginState{}, api.NewProblem(http.StatusConflict, api.ProblemNoLogin, fmt.Sprintf("no login to %s is under way", name)).
			WithFix(advice.Do("start one, and open its address in the browser"))
	}
	if err := a.pass(ctx, address); err != nil {
		return api.LoginState{}, err
	}
	return a.state(p), nil
}

// pass passes a pasted address on to the login, and waits until that has judged it.
func (a *attempt) pass(ctx context.Context, address string) error {
	a.pasting.Lock()
	defer a.pasting.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the provider did not answer within %v", patience))
	defer cancel()
	a.mu.Lock()
	before := a.refused
	a.mu.Unlock()
	_ = a.paste.SetWriteDeadline(time.Now().Add(patience))                        // it never fails
	if _, err := io.WriteString(a.paste, address+"\n"); err != nil && !a.over() { // its own address came first
		return fmt.Errorf("pass on the address: %w", err)
	}
	for {
		a.mu.Lock()
		judged, changed := a.done || a.refused > before, a.changed
		a.mu.Unlock()
		if judged {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends all logins, waits for them, and starts no others.
func (l *Logins) Close() {
	l.mu.Lock()
	l.closed = true
	for _, a := range l.all {
		a.cancel(errStopping)
	}
	l.mu.Unlock()
	l.work.Wait()
}

func (l *Logins) account(name string) (Account, provider.Provider, error) {
	account, p, ok := l.find(name)
	if !ok {
		return nil, p, api.NewProblem(http.StatusNotFound, api.ProblemNoAccount, fmt.Sprintf("there is no account %q", name)).WithCode(exit.Usage)
	}
	return account, p, nil
}

// refusal returns the problem of a login that cannot start, or a token that is not accepted.
func refusal(err error) error {
	wrong, fix := advice.Split(err)
	return api.NewProblem(http.StatusConflict, api.ProblemNoLogin, text.Line(wrong)).WithFix(fix).WithCode(exit.Code(err))
}

func usage(err error) error {
	return api.NewProblem(http.StatusBadRequest, api.ProblemUsage, err.Error()).WithCode(exit.Usage)
}
