package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/sinks"
)

// runSimulation runs relay against a simulator in this process, with a real login, refresh and socket, in a temporary data folder that it
// removes afterwards.
func (o *runOptions) runSimulation(ctx context.Context, log zerolog.Logger) (err error) {
	simConfig, err := o.simulator.config(log)
	if err != nil {
		return err
	}
	simConfig.HoldWhileAway = true
	cfg, err := o.simulationConfig(log)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "relay-simulate-")
	if err != nil {
		return exit.With(exit.Unavailable, fmt.Errorf("create a folder for the simulation: %w", err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Simulation = dir
	// The simulator must outlive the daemon, which drains when ctx ends.
	sim, err := simulator.Start(context.WithoutCancel(ctx), simConfig)
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	log.Info().Str("url", sim.URL()).Uint64("seed", sim.Seed()).Float64("rate", o.simulator.rate).Msg("simulated TreatStream runs")

	account, err := simulatedAccount(sim)
	if err != nil {
		return err
	}
	account.BackfillFirstRun = o.backfillFirstRun
	cfg.Accounts = []config.Account{account}
	if err := o.simulateLogin(ctx, account, dir, log); err != nil {
		return err
	}
	options := o.daemonOptions(cfg, dir, nil, log)
	options.Simulation = true
	return daemon.Run(ctx, options)
}

// simulationConfig returns a configuration with the sinks to run, and without accounts. It reads the configuration file only if the user
// names it, or selects a sink that only the file can have.
func (o *runOptions) simulationConfig(log zerolog.Logger) (*config.Config, error) {
	selected := o.sinks
	if len(selected) == 0 {
		selected = []string{"stdout"} // not the configured ones: simulated treats must not reach a real overlay unless the user says so
	}
	cfg := config.Default()
	cfg.Path, cfg.Journal.Retention = "the simulation's configuration", time.Hour
	env, _ := o.Getenv("RELAY_CONFIG")
	named := o.ConfigPath != "" || env != ""
	if named || slices.ContainsFunc(selected, func(name string) bool { return !slices.Contains(sinks.Types(), name) }) {
		loaded, err := o.LoadConfig(log)
		if err != nil {
			return nil, err
		}
		cfg.Path, cfg.HTTP, cfg.Overlays = loaded.Path, loaded.HTTP, loaded.Overlays
		for name, o := range cfg.Overlays {
			o.Accounts = nil // likewise
			cfg.Overlays[name] = o
		}
		for _, s := range loaded.Sinks {
			s.Lane.Accounts = nil // no list of accounts has the simulated one
			cfg.Sinks = append(cfg.Sinks, s)
		}
	}
	cfg.NATS.Listen = "127.0.0.1:0"
	var err error
	cfg.Sinks, err = selectSinks(cfg, selected)
	return cfg, err
}

// simulatedAccount returns the configuration of an account at the simulator.
func simulatedAccount(s *simulator.Server) (config.Account, error) {
	p, ok := provider.Lookup("treatstream")
	if !ok {
		return config.Account{}, errors.New("simulate: there is no provider treatstream")
	}
	e := s.Endpoints()
	return config.Account{
		Config: auth.Config{
			Account: "simulated", Provider: p,
			ClientID: simulator.DefaultClientID, ClientSecret: secret.New(simulator.DefaultClientSecret), RedirectURL: "http://127.0.0.1:0/",
			Overrides: auth.Overrides{Endpoints: provider.Endpoints{
				Authorize: e.Authorize, Token: e.Token, Refresh: e.Refresh, SocketToken: e.SocketToken, History: e.History, Socket: e.Socket,
			}},
		},
		Location: time.UTC, Reconcile: config.DefaultReconcile,
	}, nil
}

// simulateLogin logs in to the simulated account, with an HTTP client in place of a browser.
func (o *runOptions) simulateLogin(ctx context.Context, c config.Account, dir string, log zerolog.Logger) error {
	store, err := grants.OpenStore(ctx, dir, o.Identity(), log)
	if err != nil {
		return err
	}
	account, err := grants.NewAccount(c, store, nil, nil, log)
	if err != nil {
		return err
	}
	var browser sync.WaitGroup
	defer browser.Wait()
	return account.Login(ctx, login.Options{
		Prompt: io.Discard, Timeout: 30 * time.Second,
		Browser: func(url string) error {
			browser.Go(func() { visit(ctx, url, log) })
			return nil
		},
	})
}

// visit requests a page and follows its redirects.
func visit(ctx context.Context, url string, log zerolog.Logger) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		log.Error().Msg("simulated browser: the address is not a valid URL")
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Debug().Msg("simulated browser: no answer") // the error of the login says more
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
}
