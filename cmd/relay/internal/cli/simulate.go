package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/simulator"
)

// simulateOptions are the options of relay simulate.
type simulateOptions struct {
	*state.State
	simulator simulatorFlags
	listen    string
	consent   bool
}

func newSimulateCmd(s *state.State) *cobra.Command {
	o := simulateOptions{State: s}
	cmd := &cobra.Command{
		Use: "simulate", Short: "Run only a simulated TreatStream, for developers of overlays and bots", Args: state.NoArgs,
		Long: `Run a simulated TreatStream to develop against: login, token refresh, socket
token, history and the realtime socket, which sends invented treats. It prints
the account to add to relay.yaml. To run relay with a simulation in one command,
use "relay --simulate".`,
		Example: "  relay simulate\n  relay simulate --rate 20 --drop 0.01 --malformed 0.05 --expire-token 1m",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	o.simulator.register(flags)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8920", "address to listen on; port 0 is any free port")
	flags.BoolVar(&o.consent, "consent", false, "ask for consent before a login, on a page with Allow and Deny")
	return cmd
}

func (o *simulateOptions) run(ctx context.Context) error {
	cfg, err := o.simulator.config(o.Logger())
	if err != nil {
		return err
	}
	cfg.Addr, cfg.Consent = o.listen, o.consent
	sim, err := simulator.Start(ctx, cfg)
	if err != nil {
		return exit.With(exit.Unavailable, fmt.Errorf("%w; choose another address with --listen", err))
	}
	e := sim.Endpoints()
	err = o.Say(`A simulated TreatStream runs at %s (seed %d). Its account for relay.yaml:

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

// simulatorFlags are the flags of a simulated TreatStream.
type simulatorFlags struct {
	rate, drop, dup, malformed float64
	expireToken                time.Duration
	seed                       uint64
}

func simulatorFlagNames() []string {
	return []string{"rate", "drop", "dup", "malformed", "expire-token", "seed"}
}

func (f *simulatorFlags) register(flags *pflag.FlagSet) {
	flags.Float64Var(&f.rate, "rate", 1, "simulated treats per second, on average")
	flags.Float64Var(&f.drop, "drop", 0, "probability, per treat, that all connections are cut after it")
	flags.Float64Var(&f.dup, "dup", 0, "probability, per treat, that the viewer sends an identical one within the second")
	flags.Float64Var(&f.malformed, "malformed", 0, "probability, per treat, that a malformed message precedes it")
	flags.DurationVar(&f.expireToken, "expire-token", 0, "lifetime of the simulated access tokens (default 30 days)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the simulation, to repeat an earlier one (default random)")
}

// config returns the configuration that the flags describe.
func (f *simulatorFlags) config(log zerolog.Logger) (simulator.Config, error) {
	for name, p := range map[string]float64{"drop": f.drop, "dup": f.dup, "malformed": f.malformed} {
		if !(p >= 0 && p <= 1) { // the comparison is false for NaN
			return simulator.Config{}, exit.Usagef("--%s %v: want a probability from 0 to 1", name, p)
		}
	}
	if !(f.rate >= 0 && f.rate <= 100_000) {
		return simulator.Config{}, exit.Usagef("--rate %v: want 0 to 100000 treats per second", f.rate)
	}
	if f.expireToken != 0 && f.expireToken < time.Second {
		return simulator.Config{}, exit.Usagef("--expire-token %v: want at least 1s", f.expireToken)
	}
	return simulator.Config{
		Rate: f.rate, Drop: f.drop, Dup: f.dup, Malformed: f.malformed, ExpireToken: f.expireToken, Seed: f.seed, Log: log,
	}, nil
}
