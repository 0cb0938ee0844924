package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/pipeline/intake"
)

// reconcilers are the reconcilers of a running relay, by account. They are set once everything is open.
type reconcilers struct {
	mu sync.Mutex
	by map[string]*intake.Reconciler // a nil value is an account without a history
}

func (p *reconcilers) set(sources []*source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by = make(map[string]*intake.Reconciler, len(sources))
	for _, s := range sources {
		p.by[s.name] = s.history
	}
}

// find returns an account's reconciler, whether the reconcilers are set, and whether the account is known.
func (p *reconcilers) find(account string) (r *intake.Reconciler, ready, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, known = p.by[account]
	return r, p.by != nil, known
}

// reconcile compares an account's history with the journal.
func (c *control) reconcile(ctx context.Context, account string) (result intake.Reconciliation, err error) {
	reconciler, ready, known := c.job.reconcilers.find(account)
	switch {
	case !ready:
		return result, starting()
	case !known:
		return result, api.NewProblem(http.StatusNotFound, api.ProblemNoAccount, fmt.Sprintf("the relay that runs has no account %q that receives treats", account)).
			WithFix(advice.Do("restart it if that is new")).WithCode(exit.Usage)
	case reconciler == nil:
		return result, api.NewProblem(http.StatusConflict, api.ProblemNoHistory, noHistory(account).Error()).WithCode(exit.Config)
	}
	return reconciler.Reconcile(ctx)
}

func noHistory(account string) error {
	return exit.With(exit.Config, fmt.Errorf("account %s: its provider has no history, and endpoints.history is not set", account))
}

// Reconcile compares an account's history with the journal while no relay runs, and journals what is missing. No relay can start meanwhile.
func Reconcile(ctx context.Context, o Options, c config.Account) (result intake.Reconciliation, err error) {
	lock, err := datadir.Lock(ctx, o.Dir)
	if err != nil {
		return result, err
	}
	var undo datadir.Teardown
	undo.Add("data folder", lock.Close)
	defer func() { err = errors.Join(err, undo.Run()) }()
	store, err := grants.OpenStore(ctx, o.Dir, o.Identity, o.Log)
	if err != nil {
		return result, err
	}
	account, err := grants.NewAccount(c, store, nil, nil, o.Log)
	if err != nil {
		return result, err
	}
	through := auth.NewTransport()
	undo.Add("connections to the provider", func() error { through.CloseIdleConnections(); return nil })
	past, err := historyhttp.New(c.Config, account, o.Dir, through)
	switch {
	case err != nil:
		return result, err
	case past == nil:
		return result, noHistory(c.Account)
	}
	k := newJournalService(o.Dir, &undo, o.Log)
	if err := k.open(ctx, o.Config.Journal, nil); err != nil {
		return result, err
	}
	in := k.newIntake(c)
	if err := in.CatchUp(ctx); err != nil {
		return result, exit.With(exit.Unavailable, err)
	}
	reconciler := intake.NewReconciler(in, past, intake.ReconcileConfig{Logins: past})
	comparing, stop := context.WithCancelCause(ctx)
	var writer, comparer sync.WaitGroup
	var writeErr error
	writer.Go(func() { writeErr = k.journal.Run(ctx) })
	comparer.Go(func() { reconciler.Run(comparing) })
	result, err = reconciler.Reconcile(ctx)
	stop(nil)
	comparer.Wait()
	k.journal.Close()
	writer.Wait()
	return result, errors.Join(err, writeErr)
}
