package journalcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
)

// Trace is relay trace: the way of one event.
func Trace(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "trace EVENT_ID", Short: "Show the way of one event, with every attempt to deliver it",
		Long: `Show the way of one event: when it was received and journaled, every attempt of every sink to deliver it, its dead letters
and redrives. Attempts are kept for 30 days. It works whether or not relay runs.`,
		Example: "  relay trace trt_06H003C601TTVEEHS54BW8N74C",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
				return exit.Usagef("%s takes one argument, the id of an event; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var t api.Trace
			err := p.WithAPI(cmd.Context(), func(c *api.Client) (err error) {
				t, err = c.Trace(cmd.Context(), args[0])
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				err = printSteps(p.Out, t.Steps)
			} else {
				err = tabulateSteps(p.Out, &t)
			}
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func printSteps(w io.Writer, steps []api.TraceStep) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, s := range steps {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

func tabulateSteps(w io.Writer, t *api.Trace) error {
	head := t.ID + "  no longer in the journal"
	if t.Number > 0 {
		head = fmt.Sprintf("%s  %s treat of account %s (%s)", t.ID, t.Origin, t.Account, t.Provider)
		if t.Type == pipeline.DigestType {
			head = fmt.Sprintf("%s  digest of missed treats of account %s (%s)", t.ID, t.Account, t.Provider)
		}
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "TIME\tSTEP\tSINK\tWHAT"); err != nil {
		return err
	}
	for i := range t.Steps {
		s := &t.Steps[i]
		at := s.Time.Local().Format("2006-01-02 15:04:05.000")
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", at, strings.ReplaceAll(s.Step, "_", " "), s.Sink, what(s)); err != nil {
			return err
		}
	}
	return table.Flush()
}

// what says in a few words what a step was.
func what(s *api.TraceStep) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch s.Step {
	case "received":
	case "journaled":
		add("number %d", s.Seq)
	case "resent":
		add("number %d", s.Seq)
		if s.Replay {
			add("replay")
		}
		if s.DeadLetter > 0 {
			add("redrive of dead letter %d", s.DeadLetter)
		}
	case "dead_letter":
		add("dead letter %d, attempts: %d", s.DeadLetter, s.Attempts)
		add("%s", text.Printable(s.Reason))
	case "attempt":
		if s.Error == "" {
			add("ok")
		} else {
			add("failed")
		}
		if s.Status > 0 {
			add("status %d", s.Status)
		}
		add("%v", s.Latency.Round(100*time.Microsecond))
		add("%s", s.Endpoint)
		if s.Batch > 1 {
			add("%d events at once", s.Batch)
		}
		if s.Error != "" {
			add("%s", text.Printable(s.Error))
		}
		if s.Answer != "" {
			add("answer: %s", text.Printable(s.Answer))
		}
	}
	return strings.Join(parts, "; ")
}
