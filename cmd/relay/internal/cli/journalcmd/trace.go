package journalcmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
)

// traceOptions are the options of relay trace.
type traceOptions struct {
	*state.State
	id   string
	json bool
}

// NewTraceCmd returns relay trace.
func NewTraceCmd(s *state.State) *cobra.Command {
	o := traceOptions{State: s}
	cmd := &cobra.Command{
		Use: "trace EVENT_ID", Short: "Show the path of one event, with every delivery attempt", Args: state.OneArg("the id of an event"),
		Long: `Show the path of one event: when relay received and journaled it, every attempt
to deliver it to a sink, and its dead letters and redrives. Use it to find out
why a treat did not arrive. relay keeps attempts for 30 days. It works whether
or not relay runs.`,
		Example: "  relay trace trt_06H003C601TTVEEHS54BW8N74C",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return state.IgnoreClosedPipe(o.run(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

func (o *traceOptions) run(ctx context.Context) error {
	var t api.Trace
	err := o.WithAPI(ctx, func(c *api.Client) (err error) {
		t, err = c.Trace(ctx, o.id)
		return err
	})
	if err != nil {
		return err
	}
	if !o.json {
		return o.printTable(&t)
	}
	for _, step := range t.Steps {
		if err := o.PrintJSON(step); err != nil {
			return err
		}
	}
	return nil
}

func (o *traceOptions) printTable(t *api.Trace) error {
	head := t.ID + "  no longer in the journal"
	if t.Number > 0 {
		head = fmt.Sprintf("%s  %s treat of account %s (%s)", t.ID, t.Origin, t.Account, t.Provider)
		if t.Type == pipeline.DigestType {
			head = fmt.Sprintf("%s  digest of missed treats of account %s (%s)", t.ID, t.Account, t.Provider)
		}
	}
	if err := o.Print(head); err != nil {
		return err
	}
	table := state.NewTable(o.Out)
	table.Row("TIME", "STEP", "SINK", "DETAILS")
	for i := range t.Steps {
		s := &t.Steps[i]
		table.Row(s.Time.Local().Format("2006-01-02 15:04:05.000"), strings.ReplaceAll(s.Step, "_", " "), s.Sink, details(s))
	}
	return table.Flush()
}

// details describes a step in a few words.
func details(s *api.TraceStep) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch s.Step {
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
		parts = attemptDetails(s)
	}
	return strings.Join(parts, "; ")
}

func attemptDetails(s *api.TraceStep) []string {
	parts := []string{"ok"}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if s.Error != "" {
		parts[0] = "failed"
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
	return parts
}
