package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/proxy"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
)

// bearer finds the account whose tokens a webhook sends: the one that has the name at the time.
func (j *job) bearer(name string) (sinks.Bearer, error) {
	return bearer{func() (*auth.Account, error) {
		part, ok := j.parts().accounts[name]
		if !ok {
			return nil, fmt.Errorf("there is no account %q", name)
		}
		return part.account, nil
	}}, nil
}

// bearer presents an account to a sink.
type bearer struct{ account func() (*auth.Account, error) }

// Token implements [sinks.Bearer].
func (b bearer) Token(ctx context.Context) (secret.String, int64, error) {
	account, err := b.account()
	if err != nil {
		return secret.String{}, 0, err
	}
	token, err := account.Token(ctx)
	return token.AccessToken, token.Generation, err
}

// Refresh implements [sinks.Bearer].
func (b bearer) Refresh(ctx context.Context, generation int64) (secret.String, int64, error) {
	account, err := b.account()
	if err != nil {
		return secret.String{}, 0, err
	}
	token, err := account.Refresh(ctx, generation)
	return token.AccessToken, token.Generation, err
}

// checkGrants is an error if none of the accounts that receive treats has a grant. Any other without one is logged, and waits.
func checkGrants(cfg *config.Config, store auth.Store, log zerolog.Logger) error {
	var missing, idle []error
	receiving := 0
	for _, c := range cfg.Accounts {
		account, err := newAccount(c, store, nil, nil, log)
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
		return errors.Join(missing...)
	}
	for _, err := range append(missing, idle...) {
		log.Error().Err(err).Msg("account waits for a login; the others run")
	}
	return nil
}

// openStore opens the store of the grants, sealed with this user's identity.
func (p *program) openStore(ctx context.Context, dir string, log zerolog.Logger) (*auth.FileStore, error) {
	id, err := p.identity(ctx)
	if err != nil {
		return nil, exit.With(exit.Unavailable, err)
	}
	if id.Created {
		log.Info().Str("identity", id.Source).Msg("made an identity to seal tokens with; keep it: without it the stored logins are worthless")
	}
	store, err := auth.NewFileStore(filepath.Join(dir, accountsDir), auth.NewAgeSealer(id))
	if err != nil {
		return nil, exit.With(exit.Unavailable, err)
	}
	if plain := store.Plain(); len(plain) > 0 {
		log.Warn().Strs("accounts", plain).Msg("tokens of an older relay are not sealed yet; they are at their next refresh")
	}
	return store, nil
}

// identity is what tokens are sealed with: $RELAY_IDENTITY_FILE, else the OS keyring, else a file in the user's configuration
// folder. A simulation has one of its own.
func (p *program) identity(ctx context.Context) (auth.Identity, error) {
	return auth.LoadIdentity(ctx, p.identityOptions())
}

func (p *program) identityOptions() auth.IdentityOptions {
	file, _ := p.getenv("RELAY_IDENTITY_FILE")
	opts := auth.IdentityOptions{File: file, Keyring: true}
	if p.simulation != "" {
		opts = auth.IdentityOptions{Fallback: filepath.Join(p.simulation, "identity.txt")}
	} else if dir, err := os.UserConfigDir(); err == nil {
		opts.Fallback = filepath.Join(dir, "relay", "identity.txt")
	}
	return opts
}

// newAccount makes an account whose requests go through the given transport, or through one of its own.
func newAccount(c config.Account, store auth.Store, through http.RoundTripper, metrics *auth.Metrics, log zerolog.Logger) (*auth.Account, error) {
	if err := proxy.Check(); err != nil { // before a request that needs it may have cost a login
		return nil, exit.With(exit.Config, err)
	}
	account, err := auth.New(c.Config, store, auth.Options{Transport: through, Log: log, UserAgent: version.UserAgent(), Metrics: metrics})
	if err != nil {
		return nil, exit.With(exit.Config, err)
	}
	return account, nil
}
