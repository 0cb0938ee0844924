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
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/sinks"
)

// simulatorFlags say what the simulated TreatStream does.
type simulatorFlags struct {
	rate, drop, dup, malformed float64
	expireToken                time.Duration
	seed                       uint64
}

func simulatorFlagNames() []string {
	return []string{"rate", "drop", "dup", "malformed", "expire-token", "seed"}
}

func (f *simulatorFlags) register(flags *pflag.FlagSet) {
	flags.Float64Var(&f.rate, "rate", 1, "simulated treats a second, on average")
	flags.Float64Var(&f.drop, "drop", 0, "probability, a treat, that all connections are cut after it")
	flags.Float64Var(&f.dup, "dup", 0, "probability, a treat, that the viewer sends the very same again within the second")
	flags.Float64Var(&f.malformed, "malformed", 0, "probability, a treat, that garbage precedes it")
	flags.DurationVar(&f.expireToken, "expire-token", 0, "life of the simulated access tokens (default 30 days)")
	flags.Uint64Var(&f.seed, "seed", 0, "repeat the simulation of this seed")
}

func (f *simulatorFlags) config(log zerolog.Logger) (simulator.Config, error) {
	for name, p := range map[string]float64{"drop": f.drop, "dup": f.dup, "malformed": f.malformed} {
		if !(p >= 0 && p <= 1) {
			return simulator.Config{}, exit.Usagef("--%s %v: want a probability from 0 to 1", name, p)
		}
	}
	if !(f.rate >= 0 && f.rate <= 100_000) {
		return simulator.Config{}, exit.Usagef("--rate %v: want 0 to 100000 treats a second", f.rate)
	}
	if f.expireToken != 0 && f.expireToken < time.Second {
		return simulator.Config{}, exit.Usagef("--expire-token %v: want at least 1s", f.expireToken)
	}
	return simulator.Config{
		Rate: f.rate, Drop: f.drop, Dup: f.dup, Malformed: f.malformed, ExpireToken: f.expireToken, Seed: f.seed, Log: log,
	}, nil
}

// simulatedAccount is the configuration of an account at the simulator.
func simulatedAccount(s *simulator.Server) (config.Account, error) {
	provider, ok := auth.Lookup("treatstream")
	if !ok {
		return config.Account{}, errors.New("simulate: there is no provider treatstream")
	}
	e := s.Endpoints()
	return config.Account{
		Config: auth.Config{
			Account: "simulated", Provider: provider,
			ClientID: simulator.DefaultClientID, ClientSecret: secret.New(simulator.DefaultClientSecret), RedirectURL: "http://127.0.0.1:0/",
			Overrides: auth.Overrides{Endpoints: auth.Endpoints{
				Authorize: e.Authorize, Token: e.Token, Refresh: e.Refresh, SocketToken: e.SocketToken, History: e.History, Socket: e.Socket,
			}},
		},
		Location: time.UTC, Reconcile: config.DefaultReconcile,
	}, nil
}

// runSimulated does the main job against a simulator in this process, through the same login, refresh and socket as ever, in
// a data folder that is removed afterwards.
func runSimulated(ctx context.Context, p *state.State, f *runFlags, log zerolog.Logger) (err error) {
	simConfig, err := f.sim.config(log)
	if err != nil {
		return err
	}
	simConfig.HoldWhileAway = true
	cfg, err := simulatedSinks(p, f, log)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "relay-simulate-")
	if err != nil {
		return exit.With(exit.Unavailable, fmt.Errorf("make a folder for the simulation: %w", err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p.Simulation = dir
	// The simulator must outlive the job, which drains when ctx ends.
	sim, err := simulator.Start(context.WithoutCancel(ctx), simConfig)
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	log.Info().Str("url", sim.URL()).Uint64("seed", sim.Seed()).Float64("rate", f.sim.rate).Msg("simulated TreatStream runs")

	account, err := simulatedAccount(sim)
	if err != nil {
		return err
	}
	account.BackfillFirstRun = f.backfillFirstRun
	cfg.Accounts = []config.Account{account}
	if err := simulatedLogin(ctx, p, account, dir, log); err != nil {
		return err
	}
	return daemon.Run(ctx, options(p, cfg, dir, nil, log))
}

// simulatedSinks returns a configuration that has the sinks to run and nothing of the accounts. A configuration file is
// read only if it is named, or if a sink of it is.
func simulatedSinks(p *state.State, f *runFlags, log zerolog.Logger) (*config.Config, error) {
	wanted := f.sinks
	if len(wanted) == 0 {
		wanted = []string{"stdout"} // not those of the configuration: simulated treats must not reach a real overlay unasked
	}
	cfg := &config.Config{Path: "the simulation's configuration", Settings: config.Settings{Journal: config.Journal{Retention: time.Hour}}}
	env, _ := p.Getenv("RELAY_CONFIG")
	named := p.ConfigPath != "" || env != ""
	if named || slices.ContainsFunc(wanted, func(name string) bool { return !slices.Contains(sinks.Types(), name) }) {
		loaded, err := p.LoadConfig(log)
		if err != nil {
			return nil, err
		}
		cfg.Path, cfg.HTTP = loaded.Path, loaded.HTTP
		for _, s := range loaded.Sinks {
			s.Lane.Accounts = nil // the simulated account is in none of its lists
			cfg.Sinks = append(cfg.Sinks, s)
		}
	}
	cfg.NATS.Listen = "127.0.0.1:0"
	var err error
	cfg.Sinks, err = selectSinks(cfg, wanted)
	return cfg, err
}

// simulatedLogin logs in as a person would, with a browser that only follows redirects.
func simulatedLogin(ctx context.Context, p *state.State, c config.Account, dir string, log zerolog.Logger) error {
	store, err := grants.OpenStore(ctx, dir, p.Identity(), log)
	if err != nil {
		return err
	}
	account, err := grants.NewAccount(c, store, nil, nil, log)
	if err != nil {
		return err
	}
	var browser sync.WaitGroup
	defer browser.Wait()
	return account.Login(ctx, auth.LoginOptions{
		Prompt: io.Discard, Timeout: 30 * time.Second,
		Browser: func(url string) error {
			browser.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
				if err != nil {
					log.Error().Msg("simulated browser: the address is not one")
					return
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					log.Debug().Msg("simulated browser: no answer") // the login's own error says more
					return
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
				_ = resp.Body.Close()
			})
			return nil
		},
	})
}

func simulateCommand(p *state.State) *cobra.Command {
	var f simulatorFlags
	var listen string
	var consent bool
	cmd := &cobra.Command{
		Use: "simulate", Short: "Run only a simulated TreatStream, for developers of overlays and bots", Args: state.NoArgs,
		Long: `Run a TreatStream to develop against: login, token refresh, socket token, history and the realtime socket, which sends
invented treats. It prints the account to put into relay.yaml.`,
		Example: "  relay simulate\n  relay simulate --rate 20 --drop 0.01 --malformed 0.05 --expire-token 1m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSimulate(cmd.Context(), p, &f, listen, consent)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8920", "address to listen on; port 0 takes any free one")
	cmd.Flags().BoolVar(&consent, "consent", false, "ask on a page with Allow and Deny before a login")
	return cmd
}

func runSimulate(ctx context.Context, p *state.State, f *simulatorFlags, listen string, consent bool) error {
	log := p.Logger()
	cfg, err := f.config(log)
	if err != nil {
		return err
	}
	cfg.Addr, cfg.Consent = listen, consent
	sim, err := simulator.Start(ctx, cfg)
	if err != nil {
		return exit.With(exit.Unavailable, fmt.Errorf("%w; choose another address with --listen", err))
	}
	e := sim.Endpoints()
	err = p.Say(`A simulated TreatStream runs at %s (seed %d). Its account for relay.yaml:

accounts:
  simulated:
    provider: treatstream
    client_id: %s
    client_secret: %s
    endpoints:
      authorize: %s
      token: %s
      refresh: %s
      socket_token: %s
      history: %s
      socket: %s
`, sim.URL(), sim.Seed(), simulator.DefaultClientID, simulator.DefaultClientSecret,
		e.Authorize, e.Token, e.Refresh, e.SocketToken, e.History, e.Socket)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, sim.Close())
}
