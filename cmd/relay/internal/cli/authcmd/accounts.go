package authcmd

import (
	"context"
	"strings"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// accounts are the accounts of the configuration, with the store of their grants.
type accounts struct {
	cfg   *config.Config
	store *auth.FileStore
	log   zerolog.Logger
}

func openAccounts(ctx context.Context, s *state.State) (*accounts, error) {
	log := s.Logger()
	cfg, err := s.LoadConfig(log)
	if err != nil {
		return nil, err
	}
	dir, err := s.DataPath()
	if err != nil {
		return nil, err
	}
	store, err := grants.OpenStore(ctx, dir, s.Identity(), log)
	if err != nil {
		return nil, err
	}
	return &accounts{cfg, store, log}, nil
}

// openAccount opens the account that the arguments of a command name, or the only one that is configured.
func openAccount(ctx context.Context, s *state.State, args []string) (*auth.Account, config.Account, error) {
	all, err := openAccounts(ctx, s)
	if err != nil {
		return nil, config.Account{}, err
	}
	return all.choose(args)
}

// choose opens the account that the arguments of a command name, or the only one that is configured.
func (a *accounts) choose(args []string) (*auth.Account, config.Account, error) {
	if len(args) > 0 {
		return a.open(args[0])
	}
	if len(a.cfg.Accounts) == 1 {
		return a.open(a.cfg.Accounts[0].Account)
	}
	return nil, config.Account{}, exit.Usagef("name the account: %s has [%s]", a.cfg.Path, strings.Join(a.names(), ", "))
}

// open opens the account of that name.
func (a *accounts) open(name string) (*auth.Account, config.Account, error) {
	for _, c := range a.cfg.Accounts {
		if c.Account == name {
			account, err := grants.NewAccount(c, a.store, nil, nil, a.log)
			return account, c, err
		}
	}
	return nil, config.Account{}, exit.Usagef("%s has no account %q; it has [%s]", a.cfg.Path, name, strings.Join(a.names(), ", "))
}

func (a *accounts) names() []string {
	var names []string
	for _, c := range a.cfg.Accounts {
		names = append(names, c.Account)
	}
	return names
}

// lifetime says how long a login lasts, and whether relay renews its token.
func lifetime(s auth.Status, grant auth.GrantType) string {
	switch {
	case !s.Refreshable:
		return "It ends at " + s.Expiry.Local().Format("15:04 on 2 January 2006") + " and cannot be renewed."
	case grant == auth.PersonalToken:
		return "The token is valid until " + text.Day(s.Expiry) + "; relay renews it before then."
	case s.RefreshExpiry.IsZero():
		return "relay renews the token automatically; the login lasts until it is revoked."
	}
	return "relay renews the token automatically; the login lasts until " + text.Day(s.RefreshExpiry) + "."
}
