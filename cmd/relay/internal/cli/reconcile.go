package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/intake"
)

// reconcileOptions are the options of relay reconcile.
type reconcileOptions struct {
	*state.State
	account string
	json    bool
}

func newReconcileCmd(s *state.State) *cobra.Command {
	o := reconcileOptions{State: s}
	cmd := &cobra.Command{
		Use: "reconcile ACCOUNT", Short: "Check the provider's history for missed treats now", Args: state.OneAccount,
		Long: `Compare the last 30 days of the provider's history with the journal, and journal
the treats that are missing, with the origin backfill. A running relay does this
automatically, at each connection and every 15 minutes, so you need it only to
check now. If relay runs, it does the comparison; if not, this command does, and
relay delivers what was missing when it starts.`,
		Example: "  relay reconcile mystream\n  relay reconcile mystream --json | jq .healed",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account = args[0]
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object")
	return cmd
}

func (o *reconcileOptions) run(ctx context.Context) error {
	result, err := o.reconcile(ctx)
	if err != nil {
		return err
	}
	if o.json {
		return o.PrintJSON(result)
	}
	return o.report(&result)
}

// reconcile has a running relay reconcile the account, or does it in this process.
func (o *reconcileOptions) reconcile(ctx context.Context) (result intake.Reconciliation, err error) {
	dir, err := o.DataPath()
	if err != nil {
		return result, err
	}
	result, err = api.Reconcile(ctx, dir, o.account)
	if !errors.Is(err, api.ErrNoRelay) {
		return result, err
	}
	log := o.Logger().Level(zerolog.WarnLevel)
	cfg, err := o.LoadConfig(log)
	if err != nil {
		return result, err
	}
	i := slices.IndexFunc(cfg.Accounts, func(c config.Account) bool { return c.Account == o.account })
	if i < 0 || !cfg.Accounts[i].Receives() {
		return result, exit.Usagef("%s has no account %q that receives treats", cfg.Path, o.account)
	}
	return daemon.Reconcile(ctx, daemon.Options{Config: cfg, Dir: dir, Identity: o.Identity(), Log: log}, cfg.Accounts[i])
}

func (o *reconcileOptions) report(r *intake.Reconciliation) error {
	if r.FirstRun {
		return o.Say("First comparison with the history of %s: %d treats are from before the account's baseline and are not delivered; %d are from after it and are journaled now.",
			r.Account, r.Known, r.Healed)
	}
	if r.NoList {
		return o.Say("The reply for %s has no list of treats; relay treats it as an empty history.", r.Account)
	}
	var errs []error
	if n := r.Undated + r.Unusable; n > 0 {
		errs = append(errs, o.Say("Skipped %d items of the history that are not treats or have no readable date.", n))
	}
	if r.Cut != "" {
		errs = append(errs, o.Say("Skipped pages of the history: %s.", r.Cut))
	}
	if r.Withheld > 0 {
		errs = append(errs, o.Say("%d treats in the history, the first of %s, may be live ones in a form that relay does not recognize; they are not journaled. See docs/troubleshooting.md.",
			r.Withheld, r.WithheldFrom.Format(time.RFC3339)))
	}
	return errors.Join(append(errs, o.Say("Compared %d treats of %s: %d were missing and are journaled now.", r.Held, r.Account, r.Healed))...)
}
