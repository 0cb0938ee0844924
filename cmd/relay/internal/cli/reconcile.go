package cli

import (
	"context"
	"encoding/json"
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

func reconcileCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "reconcile ACCOUNT", Short: "Look for missed treats in the provider's history now", Args: state.OneAccount,
		Long: `Compare the provider's history of 30 days with the journal, and journal the treats that are missing, with the origin backfill. A
relay that runs does so by itself, at each connection and every 15 minutes. If one runs it is asked to; if none runs this command does
it, and what it finds is delivered when relay starts.`,
		Example: "  relay reconcile mystream\n  relay reconcile mystream --json | jq .healed",
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := runReconcile(cmd.Context(), p, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(p.Out).Encode(result)
			}
			return tellReconciled(p, result)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func tellReconciled(p *state.State, r intake.Reconciliation) error {
	if r.FirstRun {
		return p.Say("First look at the history of %s: %d treats from before its baseline are known from now on, and not delivered. %d are from after it and journaled now.",
			r.Account, r.Known, r.Healed)
	}
	if r.NoList {
		return p.Say("The history of %s has no list of treats in it: taken for one without treats.", r.Account)
	}
	if r.Undated+r.Unusable > 0 {
		if err := p.Say("%d items of the history are no treats or have no date that can be read; they are left out.", r.Undated+r.Unusable); err != nil {
			return err
		}
	}
	if r.Cut != "" {
		if err := p.Say("Pages of the history are left out: %s.", r.Cut); err != nil {
			return err
		}
	}
	if r.Withheld > 0 {
		if err := p.Say("%d treats of the history may be live ones in a form that cannot be recognized, the first of %s: they are not journaled. docs/troubleshooting.md says more.",
			r.Withheld, r.WithheldFrom.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return p.Say("Compared %d treats of %s: %d were missing and are journaled now.", r.Held, r.Account, r.Healed)
}

// runReconcile has a running relay compare an account's history, or does it.
func runReconcile(ctx context.Context, p *state.State, account string) (result intake.Reconciliation, err error) {
	dir, err := p.DataPath()
	if err != nil {
		return result, err
	}
	result, err = api.Reconcile(ctx, dir, account)
	if !errors.Is(err, api.ErrNoRelay) {
		return result, err
	}
	log := p.Logger().Level(zerolog.WarnLevel)
	cfg, err := p.LoadConfig(log)
	if err != nil {
		return result, err
	}
	i := slices.IndexFunc(cfg.Accounts, func(c config.Account) bool { return c.Account == account })
	if i < 0 || !cfg.Accounts[i].Receives() {
		return result, exit.Usagef("%s has no account %q that receives treats", cfg.Path, account)
	}
	return daemon.Reconcile(ctx, daemon.Options{Config: cfg, Dir: dir, Identity: p.Identity(), Log: log}, cfg.Accounts[i])
}
