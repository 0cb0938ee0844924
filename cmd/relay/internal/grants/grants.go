// Package grants opens the accounts of a configuration with their stored logins, and returns their status.
package grants

import (
	"context"
	"net/http"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/proxy"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/webhook"
)

// presenter is a [webhook.Bearer] for the account that a function returns.
type presenter struct{ account func() (*auth.Account, error) }

// NewBearer returns the tokens of an account. It calls find for each token, because a reload may replace the account.
func NewBearer(find func() (*auth.Account, error)) webhook.Bearer { return presenter{find} }

// Token implements [webhook.Bearer].
func (p presenter) Token(ctx context.Context) (secret.String, int64, error) {
	account, err := p.account()
	if err != nil {
		return secret.String{}, 0, err
	}
	token, err := account.Token(ctx)
	return token.AccessToken, token.Generation, err
}

// Refresh implements [webhook.Bearer].
func (p presenter) Refresh(ctx context.Context, generation int64) (secret.String, int64, error) {
	account, err := p.account()
	if err != nil {
		return secret.String{}, 0, err
	}
	token, err := account.Refresh(ctx, generation)
	return token.AccessToken, token.Generation, err
}

// OpenStore opens the store of the grants in a data folder, sealed with this user's identity. Both are created if needed.
func OpenStore(ctx context.Context, dir string, opts store.IdentityOptions, log zerolog.Logger) (*store.Files, error) {
	id, err := store.LoadIdentity(ctx, opts)
	if err != nil {
		return nil, exit.With(exit.Unavailable, err)
	}
	if id.Created {
		log.Info().Str("identity", id.Source).Msg("made an identity to seal tokens with; keep it: without it the stored logins are worthless")
	}
	files, err := store.Open(filepath.Join(dir, datadir.AccountsDir), store.NewAgeSealer(id))
	if err != nil {
		return nil, exit.With(exit.Unavailable, err)
	}
	if plain := files.Plain(); len(plain) > 0 {
		log.Warn().Strs("accounts", plain).Msg("tokens of an older relay are not sealed yet; they are at their next refresh")
	}
	return files, nil
}

// IdentityOptions returns where the identity is that seals tokens: $RELAY_IDENTITY_FILE, or else the OS keyring, or else a file in the user's
// configuration folder. A simulation has its own identity, in its folder.
func IdentityOptions(getenv func(string) (string, bool), simulation string) store.IdentityOptions {
	file, _ := getenv("RELAY_IDENTITY_FILE")
	opts := store.IdentityOptions{File: file, Keyring: true}
	if simulation != "" {
		opts = store.IdentityOptions{Fallback: filepath.Join(simulation, "identity.txt")}
	} else if dir, err := os.UserConfigDir(); err == nil {
		opts.Fallback = filepath.Join(dir, "relay", "identity.txt")
	}
	return opts
}

// NewAccount returns an account whose requests go through the given transport, or if that is nil, through its own.
func NewAccount(c config.Account, store auth.Store, through http.RoundTripper, metrics *auth.Metrics, log zerolog.Logger) (*auth.Account, error) {
	if err := proxy.Check(); err != nil { // a request without the proxy could cost a login
		return nil, exit.With(exit.Config, err)
	}
	account, err := auth.New(c.Config, store, auth.Options{Transport: through, Log: log, UserAgent: version.UserAgent(), Metrics: metrics})
	if err != nil {
		return nil, exit.With(exit.Config, err)
	}
	return account, nil
}
