package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/socket"
)

func relayStatusCommand(p *state.State) *cobra.Command {
	var asJSON, quiet, watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the relay that runs is", Args: state.NoArgs,
		Long: `Show how the relay is that runs on the data folder: its accounts, its journal and its sinks, and what is not as it should be. The
exit code is 0 if it answers, whatever it says, and 69 if no relay runs. Counts begin with its start. docs/operating.md says more.

With --quiet nothing is printed: the exit code is 0 if it is ready, 1 if it runs and is not ready, and 69 if none runs.
With --watch it goes on until Ctrl-C, and waits for a relay that stops meanwhile.`,
		Example: "  relay status\n  relay status --watch\n  relay status --json | jq '.sinks[] | select(.state != \"ok\")'\n  relay status --quiet || echo not ready",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if quiet && (asJSON || watch) {
				return exit.Usagef("relay status --quiet prints nothing; leave --json and --watch out")
			}
			dir, err := p.DataPath()
			if err != nil {
				return err
			}
			switch {
			case quiet:
				return silentStatus(cmd.Context(), dir)
			case watch:
				err = runWatch(cmd.Context(), p, dir, asJSON)
			default:
				var s api.Status
				if s, err = api.GetStatus(cmd.Context(), dir); err == nil {
					err = writeSnapshot(p, p.Out, &s, asJSON)
				}
			}
			switch {
			case errors.Is(err, syscall.EPIPE), watch && cmd.Context().Err() != nil:
				return nil //nolint:nilerr // it was told to end
			case errors.Is(err, api.ErrNoRelay):
				return api.NotRunning(dir)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print a JSON object on one line")
	flags.BoolVar(&quiet, "quiet", false, "print nothing: 0 ready, 1 not ready, 69 no relay runs")
	flags.BoolVar(&watch, "watch", false, "show it again every second")
	return cmd
}

// silentStatus only decides the exit code.
func silentStatus(ctx context.Context, dir string) error {
	s, err := api.GetStatus(ctx, dir)
	switch {
	case errors.Is(err, api.ErrNoRelay), errors.Is(err, fs.ErrPermission):
		return exit.With(exit.Unavailable, exit.ErrSilent)
	case err != nil, s.State == api.StateNotReady:
		return exit.ErrSilent
	}
	return nil
}

// runWatch shows the status every second until ctx ends: in place of the one before on a terminal, else after it.
func runWatch(ctx context.Context, p *state.State, dir string, asJSON bool) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	redraw := terminal.Is(p.Out) && !asJSON
	for first, away := true, false; ; first = false {
		s, err := api.GetStatus(ctx, dir)
		switch {
		case ctx.Err() != nil, err != nil && first:
			return err
		case err != nil && !away:
			away = true
			if sayErr := p.Say("%s; waiting for it.", awayText(dir, err)); sayErr != nil {
				return sayErr
			}
		case err == nil:
			away = false
			var block strings.Builder
			if !first && !asJSON && !redraw {
				block.WriteString("\n")
			}
			if err := writeSnapshot(p, &block, &s, asJSON); err != nil {
				return err
			}
			text := block.String()
			if redraw { // from the top, over what is there, so that nothing flickers
				shown, _ := terminal.Visible([]byte(text))
				text = "\x1b[H" + strings.ReplaceAll(string(shown), "\n", "\x1b[K\n") + "\x1b[J"
			}
			to := p.Out
			if redraw {
				to = terminal.Raw(p.Out)
			}
			if _, err := io.WriteString(to, text); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// awayText says in one line why a relay cannot be asked any more.
func awayText(dir string, err error) string {
	if errors.Is(err, api.ErrNoRelay) {
		return "No relay runs on " + dir + " any more"
	}
	return strings.TrimSuffix(err.Error(), "\n")
}

// writeSnapshot writes a snapshot as a table for people, or as one line.
func writeSnapshot(p *state.State, out io.Writer, s *api.Status, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	put := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) } // Flush returns the error
	now := s.Time
	put(fmt.Sprintf("relay %s is %s, and runs since %s.", s.Version, strings.ReplaceAll(s.State, "_", " "), s.Started.Local().Format(time.DateTime)))
	put("")
	if len(s.Accounts) > 0 {
		put("ACCOUNT", "PROVIDER", "CONNECTION", "SINCE", "LAST TREAT", "RECONNECTS", "TOKEN")
	}
	for _, a := range s.Accounts {
		last, token := "-", string(a.Token)
		if t := a.LastTreat; t != nil {
			last = text.Ago(now, t.Time)
			if t.Origin != "live" {
				last += " (" + string(t.Origin) + ")"
			}
		}
		if !a.TokenEnds.IsZero() {
			token += ", " + text.Until(now, a.TokenEnds)
		}
		connection := a.Connection
		if a.Transport == string(socket.Polling) {
			connection += ", " + a.Transport
		}
		put(a.Account, a.Provider, connection, text.Ago(now, a.Since), last, fmt.Sprint(a.Reconnects), token)
	}
	if len(s.Accounts) > 0 {
		put("")
	}
	put("JOURNAL", "SERVER", "EVENTS", "BYTES", "OLDEST", "LAST MINUTE", "LAST WRITE", "WAITING")
	j := &s.Journal
	put(j.State, j.Server, number(j.Events), number(j.Bytes), text.Ago(now, j.Oldest), fmt.Sprint(j.LastMinute), text.Ago(now, j.LastWrite), fmt.Sprint(j.Waiting))
	if len(s.Sinks) > 0 {
		put("")
		put("SINK", "TYPE", "STATE", "PENDING", "IN FLIGHT", "RETRIES", "LAG", "DELIVERED", "LAST DELIVERY", "P50", "P99", "FAILED ATTEMPTS", "DEAD LETTERS")
	}
	for _, l := range s.Sinks {
		lag := "-"
		if l.Lag > 0 {
			lag = latency(&l.Lag)
		}
		put(l.Sink, l.Type, l.State, number(l.Pending), fmt.Sprint(l.InFlight), fmt.Sprint(l.Retries), lag, fmt.Sprint(l.Delivered),
			text.Ago(now, l.LastDelivery), latency(l.P50), latency(l.P99), fmt.Sprint(l.Failures), number(l.DeadLetters))
	}
	if len(s.NotReady)+len(s.Degraded) > 0 {
		put("")
	}
	for i, t := range slices.Concat(s.NotReady, s.Degraded) {
		kind := "Not ready: "
		if i >= len(s.NotReady) {
			kind = "Degraded: "
		}
		put(kind + text.Printable(t.Text(p.Flags())))
	}
	return w.Flush()
}

// number is a count, or that it is not known.
func number(n *uint64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

// latency is a time in seconds as a table shows it.
func latency(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d >= 2*time.Minute:
		return text.Span(d)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
