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

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
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
			var t *query.Trace
			err := p.WithJournal(cmd.Context(), func(j *journal.Journal) (err error) {
				t, err = query.Find(cmd.Context(), j, args[0])
				return err
			})
			if err != nil {
				return err
			}
			steps, err := traceSteps(t)
			if err != nil {
				return err
			}
			if asJSON {
				err = printSteps(p.Out, steps)
			} else {
				err = tabulateSteps(p.Out, t, steps)
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

// TraceStep is a line of the trace as --json shows it. What does not belong to its step is left out.
type TraceStep struct {
	Time time.Time `json:"time"`
	Step string    `json:"step"` // received, journaled, attempt, dead_letter, resent
	ID   string    `json:"id"`

	Sink string `json:"sink,omitempty"`
	Seq  uint64 `json:"seq,omitempty"` // in the journal

	Replay bool `json:"replay,omitempty"`

	Account  string          `json:"account,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Origin   pipeline.Origin `json:"origin,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"`

	Endpoint string        `json:"endpoint,omitempty"`
	Status   int           `json:"status,omitempty"`
	Latency  time.Duration `json:"latency,omitempty"` // in nanoseconds
	Answer   string        `json:"answer,omitempty"`
	Error    string        `json:"error,omitempty"`
	Batch    int           `json:"batch,omitempty"` // events in the same request or write

	DeadLetter uint64 `json:"dead_letter,omitempty"` // its number, or that of the redriven one
	Attempts   int    `json:"attempts,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

func traceSteps(t *query.Trace) (steps []TraceStep, err error) {
	r := t.Event
	if r.Seq > 0 {
		journaled := TraceStep{
			Time: t.Journaled, Step: "journaled", ID: r.ID, Seq: r.Seq, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Event: r.Line,
		}
		if r.Type == pipeline.EventType {
			e, err := r.Event()
			if err != nil {
				return nil, err
			}
			steps = append(steps, TraceStep{Time: e.RecordedTime, Step: "received", ID: r.ID})
		}
		steps = append(steps, journaled)
	}
	for _, s := range t.Steps {
		step := TraceStep{Time: s.Time, ID: r.ID, Sink: s.Sink}
		switch {
		case s.Attempt != nil:
			a := s.Attempt
			step.Step, step.Endpoint, step.Status, step.Latency = "attempt", a.Endpoint, a.Status, a.Latency
			step.Answer, step.Error, step.Batch = a.Answer, a.Error, len(a.Events)
		case s.DeadLetter != nil:
			d := s.DeadLetter
			step.Step, step.DeadLetter, step.Attempts, step.Reason = "dead_letter", d.Number, d.Attempts, d.Reason
		case s.Resent != nil:
			step.Step, step.Seq, step.DeadLetter, step.Replay = "resent", s.Resent.Seq, s.Resent.DeadLetter, s.Resent.Replay
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func printSteps(w io.Writer, steps []TraceStep) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, s := range steps {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

func tabulateSteps(w io.Writer, t *query.Trace, steps []TraceStep) error {
	r := t.Event
	head := r.ID + "  no longer in the journal"
	if r.Seq > 0 {
		head = fmt.Sprintf("%s  %s treat of account %s (%s)", r.ID, r.Origin, r.Account, r.Provider)
		if r.Type == pipeline.DigestType {
			head = fmt.Sprintf("%s  digest of missed treats of account %s (%s)", r.ID, r.Account, r.Provider)
		}
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "TIME\tSTEP\tSINK\tWHAT"); err != nil {
		return err
	}
	for _, s := range steps {
		at := s.Time.Local().Format("2006-01-02 15:04:05.000")
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", at, strings.ReplaceAll(s.Step, "_", " "), s.Sink, s.what()); err != nil {
			return err
		}
	}
	return table.Flush()
}

// what tells of a step in a few words.
func (s *TraceStep) what() string {
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
