package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
)

// pasts are the reconcilers of a running relay, by account. They are there once it has opened everything.
type pasts struct {
	mu sync.Mutex
	by map[string]*intake.Reconciler // nil ones for accounts without a history
}

func (p *pasts) set(sources []*source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by = make(map[string]*intake.Reconciler, len(sources))
	for _, s := range sources {
		p.by[s.name] = s.history
	}
}

// find returns an account's reconciler, and whether relay is ready and has the account.
func (p *pasts) find(account string) (r *intake.Reconciler, ready, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, known = p.by[account]
	return r, p.by != nil, known
}

// reconcile compares an account's history and answers with what came of it.
func (c *control) reconcile(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("account")
	reconciler, ready, known := c.pasts.find(name)
	var result intake.Reconciliation
	var err error
	switch {
	case !ready:
		err = exit.With(exit.Unavailable, errors.New("relay is starting; try again in a moment"))
	case !known:
		err = exit.Usagef("the relay that runs has no account %q that receives treats; restart it if that is new", name)
	case reconciler == nil:
		err = noHistory(name)
	default:
		result, err = reconciler.Reconcile(r.Context())
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		_ = enc.Encode(api.ReconcileFault{Error: strings.Join(strings.Fields(err.Error()), " "), Code: exit.Code(err)}) // whoever asked may have left
		return
	}
	_ = enc.Encode(result) // as above
}

func noHistory(account string) error {
	return exit.With(exit.Config, fmt.Errorf("account %s: its provider has no history, and endpoints.history is not set", account))
}

func (p *program) reconcileCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "reconcile ACCOUNT", Short: "Look for missed treats in the provider's history now", Args: oneAccount,
		Long: `Compare the provider's history of 30 days with the journal, and journal the treats that are missing, with the origin backfill. A
relay that runs does so by itself, at each connection and every 15 minutes. If one runs it is asked to; if none runs this command does
it, and what it finds is delivered when relay starts.`,
		Example: "  relay reconcile mystream\n  relay reconcile mystream --json | jq .healed",
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := p.reconcile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(p.out).Encode(result)
			}
			return p.tellReconciled(result)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (p *program) tellReconciled(r intake.Reconciliation) error {
	if r.FirstRun {
		return p.say("First look at the history of %s: %d treats from before its baseline are known from now on, and not delivered. %d are from after it and journaled now.",
			r.Account, r.Known, r.Healed)
	}
	if r.NoList {
		return p.say("The history of %s has no list of treats in it: taken for one without treats.", r.Account)
	}
	if r.Undated+r.Unusable > 0 {
		if err := p.say("%d items of the history are no treats or have no date that can be read; they are left out.", r.Undated+r.Unusable); err != nil {
			return err
		}
	}
	if r.Cut != "" {
		if err := p.say("Pages of the history are left out: %s.", r.Cut); err != nil {
			return err
		}
	}
	if r.Withheld > 0 {
		if err := p.say("%d treats of the history may be live ones in a form that cannot be recognized, the first of %s: they are not journaled. docs/troubleshooting.md says more.",
			r.Withheld, r.WithheldFrom.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return p.say("Compared %d treats of %s: %d were missing and are journaled now.", r.Held, r.Account, r.Healed)
}

// reconcile has a running relay compare an account's history, or does it.
func (p *program) reconcile(ctx context.Context, account string) (result intake.Reconciliation, err error) {
	dir, err := p.dataPath()
	if err != nil {
		return result, err
	}
	result, err = api.Reconcile(ctx, dir, account)
	if !errors.Is(err, api.ErrNoRelay) {
		return result, err
	}
	log := p.logger().Level(zerolog.WarnLevel)
	cfg, err := p.loadConfig(log)
	if err != nil {
		return result, err
	}
	i := slices.IndexFunc(cfg.Accounts, func(c config.Account) bool { return c.Account == account })
	if i < 0 || !cfg.Accounts[i].Receives() {
		return result, exit.Usagef("%s has no account %q that receives treats", cfg.Path, account)
	}
	lock, err := datadir.Lock(ctx, dir)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return p.reconcileAlone(ctx, cfg, cfg.Accounts[i], dir, log)
}

// reconcileAlone compares an account's history while no relay runs. The data folder is locked.
func (p *program) reconcileAlone(ctx context.Context, cfg *config.Config, c config.Account, dir string, log zerolog.Logger) (result intake.Reconciliation, err error) {
	j := &job{log: log, dir: dir, pipeline: pipeline.NewMetrics(prometheus.NewRegistry())}
	defer func() { err = errors.Join(err, j.undo.Run()) }()
	store, err := grants.OpenStore(ctx, dir, p.identity(), log)
	if err != nil {
		return result, err
	}
	account, err := grants.NewAccount(c, store, nil, nil, log)
	if err != nil {
		return result, err
	}
	through := auth.NewTransport()
	j.undo.Add("connections to the provider", func() error { through.CloseIdleConnections(); return nil })
	past, err := historyhttp.New(c.Config, account, dir, through)
	switch {
	case err != nil:
		return result, err
	case past == nil:
		return result, noHistory(c.Account)
	}
	if err := j.openJournal(ctx, cfg.Journal, j.pipeline, nil); err != nil {
		return result, err
	}
	in := j.newIntake(c)
	if err := in.CatchUp(ctx); err != nil {
		return result, exit.With(exit.Unavailable, err)
	}
	reconciler := intake.NewReconciler(in, past, intake.ReconcileConfig{Logins: past})
	comparing, stop := context.WithCancelCause(ctx)
	var writer, comparer sync.WaitGroup
	var writeErr error
	writer.Go(func() { writeErr = j.journal.Run(ctx) })
	comparer.Go(func() { reconciler.Run(comparing) })
	result, err = reconciler.Reconcile(ctx)
	stop(nil)
	comparer.Wait()
	j.journal.Close()
	writer.Wait()
	return result, errors.Join(err, writeErr)
}
