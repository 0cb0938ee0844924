package authcmd

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// statusOptions are the options of relay auth status.
type statusOptions struct {
	*state.State
	accounts []string // empty for all
	json     bool
}

func newStatusCmd(s *state.State) *cobra.Command {
	o := statusOptions{State: s}
	cmd := &cobra.Command{
		Use: "status [ACCOUNT]", Short: "Show the state of the accounts' logins, without the tokens", Args: state.OptionalAccount,
		Long: `Show the state of the accounts' logins, and what to do about each that does not
work. It contacts no provider. The exit code is 77 if an account needs a login.`,
		Example: "  relay auth status\n  relay auth status mystream --json | jq .expiry",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.accounts = args
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per line on standard output")
	return cmd
}

func (o *statusOptions) run(ctx context.Context) error {
	all, err := openAccounts(ctx, o.State)
	if err != nil {
		return err
	}
	names := o.accounts
	if len(names) == 0 {
		names = all.names()
	}
	var text strings.Builder
	table := state.NewTable(&text)
	table.Row("ACCOUNT", "PROVIDER", "STATE", "EXPIRES IN", "LOGIN ENDS", "LAST REFRESH", "WHAT TO DO")
	now, actionNeeded := time.Now(), false
	for _, name := range names {
		needed, err := o.show(all, name, now, table)
		if err != nil {
			return err
		}
		actionNeeded = actionNeeded || needed
	}
	if !o.json {
		_ = table.Flush() // it is in memory and cannot fail
		if err := o.Say("%s", strings.TrimRight(text.String(), "\n")); err != nil {
			return err
		}
	}
	if actionNeeded {
		return exit.With(exit.Unauthorized, exit.ErrSilent)
	}
	return nil
}

// show prints one account as JSON, or adds it to the table. It reports whether the user has to do something about the account.
func (o *statusOptions) show(all *accounts, name string, now time.Time, table *state.Table) (actionNeeded bool, err error) {
	account, c, err := all.open(name)
	if err != nil {
		return false, err
	}
	s, err := grants.Status(account, c)
	if err != nil {
		return false, err
	}
	fix := s.Status.Fix.Short(o.Flags())
	actionNeeded = fix != ""
	if !actionNeeded && s.State == auth.RefreshOutcomeUnknown {
		s.Fix, fix = grants.FindsOut, grants.FindsOut
	}
	if o.json {
		return actionNeeded, o.PrintJSON(s)
	}
	table.Row(name, c.Provider.Name, string(s.State), text.Until(now, s.Expiry), text.Date(s.RefreshExpiry), text.Ago(now, s.ObtainedAt), fix)
	return actionNeeded, nil
}
