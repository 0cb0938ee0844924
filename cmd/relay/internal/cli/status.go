package cli

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// statusOptions are the options of relay status.
type statusOptions struct {
	*state.State
	json, quiet, watch bool
}

func newStatusCmd(s *state.State) *cobra.Command {
	o := statusOptions{State: s}
	cmd := &cobra.Command{
		Use: "status", Short: "Show the accounts, the journal and the sinks of the running relay", Args: state.NoArgs,
		Long: `Show the state of the relay that runs on the data folder: its accounts, its
journal and its sinks, and for every problem what to do. The exit code is 0 if
relay answers, whatever its state, and 69 if no relay runs. Counts start when
relay starts. See docs/operating.md.

With --quiet it prints nothing: the exit code is 0 if relay is ready, 1 if it
runs but is not ready, and 69 if none runs.
With --watch it repeats until Ctrl-C, and waits for a relay that stops
meanwhile.`,
		Example: "  relay status\n  relay status --watch\n  relay status --json | jq '.sinks[] | select(.state != \"ok\")'\n  relay status --quiet || echo not ready",
		RunE:    func(cmd *cobra.Command, _ []string) error { return state.IgnoreClosedPipe(o.run(cmd.Context())) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, "print a JSON object on one line")
	flags.BoolVar(&o.quiet, "quiet", false, "print nothing: exit code 0 if ready, 1 if not ready, 69 if no relay runs")
	flags.BoolVar(&o.watch, "watch", false, "repeat every second")
	return cmd
}

func (o *statusOptions) run(ctx context.Context) error {
	if o.quiet && (o.json || o.watch) {
		return exit.Usagef("relay status --quiet prints nothing: omit --json and --watch")
	}
	dir, err := o.DataPath()
	if err != nil {
		return err
	}
	switch {
	case o.quiet:
		return probeStatus(ctx, dir)
	case o.watch:
		err = o.watchStatus(ctx, dir)
	default:
		var s api.Status
		if s, err = api.GetStatus(ctx, dir); err == nil {
			err = o.write(o.Out, &s)
		}
	}
	if errors.Is(err, api.ErrNoRelay) {
		return api.NotRunning(dir)
	}
	return err
}

// probeStatus returns a silent error whose exit code is that of relay status --quiet.
func probeStatus(ctx context.Context, dir string) error {
	s, err := api.GetStatus(ctx, dir)
	switch {
	case errors.Is(err, api.ErrNoRelay), errors.Is(err, fs.ErrPermission):
		return exit.With(exit.Unavailable, exit.ErrSilent)
	case err != nil, s.State == api.StateNotReady:
		return exit.ErrSilent
	}
	return nil
}
