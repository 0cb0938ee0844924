package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

func doctorCommand(p *state.State) *cobra.Command {
	var asJSON, ping bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check everything that treats need to arrive, and say how to fix what is wrong", Args: state.NoArgs,
		Long: `Look at everything that relay needs: the configuration, the data folder and its disk, the clock, the network, the logins,
the realtime server and each sink. One line each, with what to do about a fault. It works whether or not relay runs on the
data folder. If none runs, a login that has expired is renewed, and the journal is opened, which repairs what a start repairs.

To see whether the realtime server lets relay in, it connects with a socket token of its own, and leaves at once. Nothing is sent
to a sink unless --ping says so.`,
		Example: "  relay doctor\n  relay doctor --ping\n  relay doctor --json | jq -r 'select(.state == \"fault\") | .fix'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runDoctor(cmd.Context(), p, asJSON, ping)
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().BoolVar(&ping, "ping", false, "send a signed test treat to each webhook sink")
	return cmd
}

// runDoctor examines everything. It fails, without a word, if there is a fault.
func runDoctor(ctx context.Context, p *state.State, asJSON, ping bool) error {
	dir, err := datadir.Choose(p.DataDir, p.Getenv)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(p.Out)
	lines.SetEscapeHTML(false)
	code, err := doctor.Examine(ctx, doctor.Options{
		Dir: dir, Identity: p.Identity(), Ping: ping, Log: p.Logger(),
		Config: func() (*config.Config, error) { return p.LoadConfig(zerolog.Nop()) },
	}, func(f doctor.Finding) error {
		f.Detail, f.Fix = text.Printable(f.Detail), text.Printable(f.FixWith(p.Flags()))
		if asJSON {
			return lines.Encode(f)
		}
		_, err := io.WriteString(p.Out, doctorLine(f))
		return err
	})
	if err == nil && code != exit.OK {
		err = exit.With(code, exit.ErrSilent)
	}
	return err
}

// doctorLine is a finding for people.
func doctorLine(f doctor.Finding) string {
	word := map[doctor.State]string{doctor.OK: "ok   ", doctor.Warning: "warn ", doctor.Fault: "FAULT", doctor.Skipped: "skip "}[f.State]
	line := word + " " + f.Name
	if f.Subject != "" {
		line += " " + f.Subject
	}
	line += ": " + f.Detail
	if f.Fix != "" {
		line += "; fix: " + f.Fix
	}
	return line + "\n"
}
