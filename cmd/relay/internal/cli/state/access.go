package state

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
)

// FindConfig returns the path of the configuration file. If there is none, the error says how to get one.
func (s *State) FindConfig() (string, error) {
	path, err := config.Find(s.ConfigPath, s.Getenv)
	if err == nil && path == "" {
		err = errors.New("no configuration: there is no relay.yaml here or in the user's config folder; " +
			"write one with relay init, or in the browser with relay dashboard, name one with --config, or try relay --simulate --sink stdout")
	}
	return path, exit.With(exit.Config, err)
}

// LoadConfig finds, reads and validates the configuration, and logs its warnings.
func (s *State) LoadConfig(log zerolog.Logger) (*config.Config, error) {
	return s.LoadConfigBy(config.Load, log)
}

// LoadConfigBy is [State.LoadConfig] with another function than [config.Load], such as [config.Check].
func (s *State) LoadConfigBy(load func(string, func(string) (string, bool)) (*config.Config, error), log zerolog.Logger) (*config.Config, error) {
	path, err := s.FindConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := load(path, s.Getenv)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		log.Warn().Msg(w.Error())
	}
	return cfg, nil
}

// DataPath returns the data folder: the one of --data-dir, or else the user's default. It is an error if other users can write to it.
func (s *State) DataPath() (string, error) {
	dir, err := datadir.Choose(s.DataDir, s.Getenv)
	if err == nil {
		err = exit.With(exit.Unavailable, datadir.Check(dir))
	}
	return dir, err
}

// Identity returns the options to find the identity that tokens are sealed with.
func (s *State) Identity() store.IdentityOptions {
	return grants.IdentityOptions(s.Getenv, s.Simulation)
}

// Access returns the access to the journal of the data folder.
func (s *State) Access() (*datadir.Access, error) {
	dir, err := s.DataPath()
	return &datadir.Access{Dir: dir, ConfigPath: s.ConfigPath, Getenv: s.Getenv, Log: s.Logger()}, err
}

// WithAPI calls use with a client of the local API, whether or not a relay runs on the data folder. The client is closed afterwards.
func (s *State) WithAPI(ctx context.Context, use func(*api.Client) error) error {
	return s.withAPI(ctx, (*datadir.Access).Client, use)
}

// WithLiveAPI is [State.WithAPI] for commands that need a relay that runs on the data folder, or the server of journal.nats_url.
func (s *State) WithLiveAPI(ctx context.Context, use func(*api.Client) error) error {
	return s.withAPI(ctx, (*datadir.Access).LiveClient, use)
}

// WithRelay is [State.WithAPI] for what a running relay holds in memory: it prefers that relay to the server of journal.nats_url.
func (s *State) WithRelay(ctx context.Context, use func(*api.Client) error) error {
	return s.withAPI(ctx, (*datadir.Access).RelayClient, use)
}

func (s *State) withAPI(
	ctx context.Context, open func(*datadir.Access, context.Context, *datadir.Teardown) (*api.Client, error), use func(*api.Client) error,
) (err error) {
	a, err := s.Access()
	if err != nil {
		return err
	}
	var teardown datadir.Teardown
	defer func() { err = errors.Join(err, teardown.Run()) }()
	c, err := open(a, ctx, &teardown)
	if err != nil {
		return err
	}
	return use(c)
}

// RelayRuns reports whether a relay runs on the data folder.
func (s *State) RelayRuns(ctx context.Context) bool {
	dir, err := s.DataPath()
	if err != nil {
		return false
	}
	conn, err := api.Dial(ctx, dir)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only a probe
	return true
}
