package cli

import (
	"context"
	"io"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// doctorOptions are the options of relay doctor.
type doctorOptions struct {
	*state.State
	json, ping bool
}

func newDoctorCmd(s *state.State) *cobra.Command {
	o := doctorOptions{State: s}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find what keeps treats from arriving, and how to fix it", Args: state.NoArgs,
		Long: `Check everything that relay needs: the configuration, the data folder and its
disk, the clock, the network, the logins, the realtime server and each sink.
Each check prints one line, with the fix for a fault. Run it first when treats
do not arrive. It works whether or not relay runs on the data folder. If none
runs, it renews a login that has expired, and opens the journal, which repairs
the same damage as a start of relay.

To check the realtime server, it connects with a socket token of its own and
disconnects immediately. It sends nothing to a sink unless you give --ping. The
exit code is 0 if there is no fault.`,
		Example: "  relay doctor\n  relay doctor --ping\n  relay doctor --json | jq -r 'select(.state == \"fault\") | .fix'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return state.IgnoreClosedPipe(o.run(cmd.Context())) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, "print one JSON object per line")
	flags.BoolVar(&o.ping, "ping", false, "send a signed test treat to each webhook sink")
	return cmd
}

// run prints the findings. If there is a fault, the error is silent and has the exit code.
func (o *doctorOptions) run(ctx context.Context) error {
	dir, err := datadir.Choose(o.DataDir, o.Getenv)
	if err != nil {
		return err
	}
	code, err := doctor.Examine(ctx, doctor.Options{
		Dir: dir, Identity: o.Identity(), Ping: o.ping, Log: o.Logger(),
		Config: func() (*config.Config, error) { return o.LoadConfig(zerolog.Nop()) },
	}, o.print)
	if err == nil && code != exit.OK {
		err = exit.With(code, exit.ErrSilent)
	}
	return err
}

func (o *doctorOptions) print(f doctor.Finding) error {
	f.Detail, f.Fix = text.Printable(f.Detail), text.Printable(o.Fix(f.Advice()))
	if o.json {
		return o.PrintJSON(f)
	}
	_, err := io.WriteString(o.Out, formatFinding(f))
	return err
}

// formatFinding formats a finding as a line for people.
func formatFinding(f doctor.Finding) string {
	label := map[doctor.State]string{doctor.OK: "ok   ", doctor.Warning: "warn ", doctor.Fault: "FAULT", doctor.Skipped: "skip "}[f.State]
	line := label + " " + f.Name
	if f.Subject != "" {
		line += " " + f.Subject
	}
	line += ": " + f.Detail
	if f.Fix != "" {
		line += "; fix: " + f.Fix
	}
	return line + "\n"
}
