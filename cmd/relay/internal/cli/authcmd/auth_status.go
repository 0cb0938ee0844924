package authcmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

func statusCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status [ACCOUNT]", Short: "Show how the accounts' tokens are, without the tokens",
		Example: "  relay auth status\n  relay auth status mystream --json | jq .expiry",
		Args:    state.OptionalAccount,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := openAccounts(cmd.Context(), p)
			if err != nil {
				return err
			}
			names := args
			if len(names) == 0 {
				names = all.names()
			}
			return showStatus(p, all, names, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line on stdout")
	return cmd
}

// showStatus shows the accounts of these names. It fails with code 77 if one of them needs a hand.
func showStatus(p *state.State, all *accounts, names []string, asJSON bool) error {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	put := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) } // into memory: it cannot fail
	put("ACCOUNT", "PROVIDER", "STATE", "EXPIRES IN", "LOGIN ENDS", "LAST REFRESH", "WHAT TO DO")
	now := time.Now()
	needy := false
	for _, name := range names {
		account, c, err := all.find(name)
		if err != nil {
			return err
		}
		s, err := grants.Status(account, c)
		if err != nil {
			return err
		}
		fix := s.Status.Fix.Short(p.Flags())
		if fix != "" {
			needy = true
		} else if s.State == auth.RefreshOutcomeUnknown {
			s.Fix, fix = grants.FindsOut, grants.FindsOut
		}
		if asJSON {
			if err := json.NewEncoder(p.Out).Encode(s); err != nil {
				return err
			}
			continue
		}
		put(name, c.Provider.Name, string(s.State), text.Until(now, s.Expiry), text.Date(s.RefreshExpiry), text.Ago(now, s.ObtainedAt), fix)
	}
	if !asJSON {
		_ = w.Flush() // into memory: it cannot fail
		if err := p.Say("%s", strings.TrimRight(table.String(), "\n")); err != nil {
			return err
		}
	}
	if needy {
		return exit.With(exit.Unauthorized, exit.ErrSilent)
	}
	return nil
}
