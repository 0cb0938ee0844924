package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/logins"
	"github.com/treatrelay/relay/sinks/webhook"
)

// bearer returns the tokens of the account of that name, for a webhook that sends them. A reload may replace the account.
func (j *job) bearer(name string) (webhook.Bearer, error) {
	return grants.NewBearer(func() (*auth.Account, error) {
		part, ok := j.runners().accounts[name]
		if !ok {
			return nil, fmt.Errorf("there is no account %q", name)
		}
		return part.account, nil
	}), nil
}

// account returns the account of that name with its provider, for a login.
func (j *job) account(name string) (logins.Account, provider.Provider, bool) {
	r, ok := j.runners().accounts[name]
	if !ok {
		return nil, provider.Provider{}, false
	}
	return r.account, r.cfg.Provider, true
}

// AwaitsLogin reports whether no account that receives treats has a grant in the data folder, so that relay would not start.
func AwaitsLogin(ctx context.Context, cfg *config.Config, dir string, identity store.IdentityOptions) bool {
	kept, err := grants.OpenStore(ctx, dir, identity, zerolog.Nop())
	return err == nil && checkGrants(cfg, kept, false, zerolog.Nop()) != nil
}

// checkGrants returns an error if no account that receives treats has a grant, unless the first login is still to come, on a page. Otherwise it logs
// each account without one: it waits for a login.
func checkGrants(cfg *config.Config, kept auth.Store, first bool, log zerolog.Logger) error {
	var missing, idle []error
	receiving := 0
	for _, c := range cfg.Accounts {
		account, err := grants.NewAccount(c, kept, nil, nil, log)
		if err != nil {
			return err
		}
		_, err = account.Status()
		if c.Receives() {
			receiving++
		}
		switch {
		case err == nil:
		case c.Receives():
			missing = append(missing, err)
		default:
			idle = append(idle, err)
		}
	}
	if receiving == 0 {
		log.Warn().Msg("no account receives treats, for none is of provider treatstream: relay only keeps tokens fresh")
	} else if len(missing) == receiving {
		if first {
			log.Info().Msg("no account is logged in yet: the dashboard leads through the first login")
			return nil
		}
		return errors.Join(missing...)
	}
	for _, err := range append(missing, idle...) {
		log.Error().Err(err).Msg("account waits for a login; the others run")
	}
	return nil
}
