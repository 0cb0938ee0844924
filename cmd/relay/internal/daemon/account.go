package daemon

import (
	"context"
	"sync"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/socket"
)

// An accountFactory creates accounts and their sources.
type accountFactory struct {
	log    zerolog.Logger
	data   *journalService
	socket config.Socket

	store         *auth.FileStore
	providers     *auth.Transport // all requests to providers go through it
	authMetrics   *auth.Metrics
	sourceMetrics *sourceMetrics
	socketHolds   socket.Holds // of all accounts
}

// open creates an account and starts nothing. An account without a login is no error: it waits for one.
func (f *accountFactory) open(c config.Account) (*accountRunner, error) {
	account, err := grants.NewAccount(c, f.store, f.providers, f.authMetrics, f.log)
	if err != nil {
		return nil, err
	}
	r := &accountRunner{cfg: c, account: account}
	if c.Receives() {
		r.source, err = f.newSource(c, account)
	}
	return r, err
}

// An accountRunner runs one account. It can start and stop while others run.
type accountRunner struct {
	cfg     config.Account
	account *auth.Account
	source  *source // nil if it receives no treats
	cancel  context.CancelCauseFunc
	work    sync.WaitGroup
}

// start runs the account until ctx ends or stop is called. If its source fails, it calls failed.
func (r *accountRunner) start(ctx context.Context, failed context.CancelCauseFunc) {
	ctx, r.cancel = context.WithCancelCause(ctx)
	r.work.Go(func() { r.account.Run(ctx) })
	if r.source == nil {
		return
	}
	r.work.Go(func() {
		r.source.begin(ctx)
		if r.source.history != nil {
			r.work.Go(func() { r.source.history.Run(ctx) })
		}
		if err := r.source.run(ctx); err != nil {
			failed(err)
		}
	})
}

// stop ends the account. It returns when every treat that the account has received is on disk.
func (r *accountRunner) stop(ctx context.Context) error {
	r.cancel(errRemoved)
	r.work.Wait()
	if r.source == nil {
		return nil
	}
	return r.source.intake.Flush(ctx)
}
