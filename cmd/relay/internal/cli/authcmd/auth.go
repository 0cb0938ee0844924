// Package authcmd has the commands about logins and keys: relay auth and relay secrets.
package authcmd

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// Auth is relay auth: logins and their tokens.
func Auth(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth", Short: "Log in to accounts and manage their tokens",
		Args: state.NoUnknownCommand, RunE: state.RequireSubcommand,
	}
	cmd.AddCommand(loginCommand(p), logoutCommand(p), statusCommand(p), tokenCommand(p), refreshCommand(p), importCommand(p), exportCommand(p), identityCommand(p))
	return cmd
}

// accounts is the configuration with the store of its grants.
type accounts struct {
	cfg   *config.Config
	store *auth.FileStore
	log   zerolog.Logger
}

func openAccounts(ctx context.Context, p *state.State) (*accounts, error) {
	log := p.Logger()
	cfg, err := p.LoadConfig(log)
	if err != nil {
		return nil, err
	}
	dir, err := p.DataPath()
	if err != nil {
		return nil, err
	}
	store, err := grants.OpenStore(ctx, dir, p.Identity(), log)
	if err != nil {
		return nil, err
	}
	return &accounts{cfg, store, log}, nil
}

// named gives the account that the arguments of a command name, or else the only one.
func (a *accounts) named(args []string) (*auth.Account, config.Account, error) {
	if len(args) > 0 {
		return a.find(args[0])
	}
	if len(a.cfg.Accounts) == 1 {
		return a.find(a.cfg.Accounts[0].Account)
	}
	return nil, config.Account{}, exit.Usagef("name the account: %s has [%s]", a.cfg.Path, strings.Join(a.names(), ", "))
}

func (a *accounts) names() []string {
	var names []string
	for _, c := range a.cfg.Accounts {
		names = append(names, c.Account)
	}
	return names
}

// find opens the account of that name.
func (a *accounts) find(name string) (*auth.Account, config.Account, error) {
	for _, c := range a.cfg.Accounts {
		if c.Account == name {
			account, err := grants.NewAccount(c, a.store, nil, nil, a.log)
			return account, c, err
		}
	}
	return nil, config.Account{}, exit.Usagef("%s has no account %q; it has [%s]", a.cfg.Path, name, strings.Join(a.names(), ", "))
}

// namedAccount opens the account that the arguments of a command name, or else the only one.
func namedAccount(ctx context.Context, p *state.State, args []string) (*auth.Account, config.Account, error) {
	all, err := openAccounts(ctx, p)
	if err != nil {
		return nil, config.Account{}, err
	}
	return all.named(args)
}

func loginCommand(p *state.State) *cobra.Command {
	var noBrowser, missingState bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "login [ACCOUNT]", Short: "Log in to an account in the browser", Args: state.OptionalAccount,
		Long: `Log in to an account of the configuration. relay shows the address to open, opens the browser where there is one, and
waits at the account's redirect_url. On a machine without a browser open the address elsewhere; the browser then ends
on a page it cannot show: paste the address of that page here. The name may be left out where only one account is configured.

A provider sends back the state that relay gave it, which shows that the reply belongs to this login. For one that returns none, and only
then, give --accept-missing-state and paste the address: relay takes your word for it.`,
		Example: "  relay auth login mystream\n  relay auth login mystream --no-browser",
		RunE: func(cmd *cobra.Command, args []string) error {
			account, c, err := namedAccount(cmd.Context(), p, args)
			if err != nil {
				return err
			}
			opts := auth.LoginOptions{Prompt: p.Err, Paste: p.In, Timeout: timeout, AcceptMissingState: missingState}
			if !noBrowser {
				opts.Browser = auth.OpenBrowser
			}
			if err := account.Login(cmd.Context(), opts); err != nil {
				return err
			}
			status, err := account.Status()
			if err != nil {
				return err
			}
			return p.Say("Logged in to %s at %s. %s", c.Account, c.Provider.Title, outlook(status, c.Provider.Grant))
		},
	}
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "do not open a browser")
	cmd.Flags().BoolVar(&missingState, "accept-missing-state", false, "take a pasted address without a state, from a provider that returns none")
	state.WithoutVariable(cmd.Flags(), "accept-missing-state")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for the login")
	return cmd
}

// outlook says how long a login lasts, and whether relay prolongs it.
func outlook(s auth.Status, grant auth.GrantType) string {
	switch {
	case !s.Refreshable:
		return "It ends at " + s.Expiry.Local().Format("15:04 on 2 January 2006") + " and cannot be renewed."
	case grant == auth.PersonalToken:
		return "The token is valid until " + text.Day(s.Expiry) + " and is renewed ahead of that."
	case s.RefreshExpiry.IsZero():
		return "The token is renewed by itself; the login lasts until it is withdrawn."
	}
	return "The token is renewed by itself; the login lasts until " + text.Day(s.RefreshExpiry) + "."
}

func logoutCommand(p *state.State) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "logout [ACCOUNT]", Short: "End the login at the provider, where that is possible, and forget the tokens", Args: state.OptionalAccount,
		Example: "  relay auth logout mystream",
		RunE: func(cmd *cobra.Command, args []string) error {
			account, c, err := namedAccount(cmd.Context(), p, args)
			if err != nil {
				return err
			}
			logout := account.Logout
			if force {
				logout = account.Forget
			}
			if err := logout(cmd.Context()); err != nil {
				return err
			}
			return p.Say("Forgot the tokens of %s.", c.Account)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "only forget the tokens, without a word to the provider")
	state.WithoutVariable(cmd.Flags(), "force")
	return cmd
}

func tokenCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "token [ACCOUNT]", Short: "Print a valid access token, renewed if need be", Args: state.OptionalAccount,
		Example: "  curl -H \"Authorization: Bearer $(relay auth token mystream)\" https://api.example/",
		RunE: func(cmd *cobra.Command, args []string) error {
			account, _, err := namedAccount(cmd.Context(), p, args)
			if err != nil {
				return err
			}
			token, err := account.Token(cmd.Context())
			if err != nil {
				return err
			}
			return printToken(p, token, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object with the expiry")
	return cmd
}

func printToken(p *state.State, token auth.Token, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(p.Out, token.AccessToken.Reveal()+"\n")
		return err
	}
	return json.NewEncoder(p.Out).Encode(map[string]any{
		"access_token": token.AccessToken.Reveal(), "expiry": token.Expiry,
	})
}

func refreshCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "refresh [ACCOUNT]", Short: "Renew an account's token now", Args: state.OptionalAccount, Example: "  relay auth refresh mystream",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRefresh(cmd.Context(), p, args)
		},
	}
}

func runRefresh(ctx context.Context, p *state.State, args []string) error {
	account, c, err := namedAccount(ctx, p, args)
	if err != nil {
		return err
	}
	token, err := account.Refresh(ctx, 0)
	if err != nil {
		return err
	}
	return p.Say("Renewed the token of %s; it is valid until %s.", c.Account, token.Expiry.Local().Format(time.DateTime))
}
