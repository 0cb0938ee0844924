package api

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// Trace is what happened to one event, as far as the journal and the log of attempts know it.
type Trace struct {
	ID       string          `json:"id"`
	Number   uint64          `json:"number,omitempty" jsonschema_description:"in the journal; left out if that no longer holds the event"`
	Account  string          `json:"account,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Origin   pipeline.Origin `json:"origin,omitempty"`
	Type     string          `json:"type,omitempty"`
	Steps    []TraceStep     `json:"steps" jsonschema_description:"in chronological order"`
}

// TraceStep is one thing that happened to an event. Fields that do not apply to its step are left out.
type TraceStep struct {
	Time time.Time `json:"time"`
	Step string    `json:"step" jsonschema:"enum=received,enum=journaled,enum=attempt,enum=dead_letter,enum=resent"`
	ID   string    `json:"id"`

	Sink string `json:"sink,omitempty"`
	Seq  uint64 `json:"seq,omitempty" jsonschema_description:"number in the journal"`

	Replay bool `json:"replay,omitempty"`

	Account  string          `json:"account,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Origin   pipeline.Origin `json:"origin,omitempty"`
	Event    Line            `json:"event,omitempty"`

	TraceAttempt
	TraceLetter
}

// TraceAttempt is an attempt to deliver an event.
type TraceAttempt struct {
	Endpoint string        `json:"endpoint,omitempty"`
	Status   int           `json:"status,omitempty"`
	Latency  time.Duration `json:"latency,omitempty" jsonschema_description:"nanoseconds"`
	Answer   string        `json:"answer,omitempty"`
	Error    string        `json:"error,omitempty"`
	Batch    int           `json:"batch,omitempty" jsonschema_description:"events in the same request or write"`
}

// TraceLetter is a dead letter of an event.
type TraceLetter struct {
	DeadLetter uint64 `json:"dead_letter,omitempty" jsonschema_description:"number of the dead letter, or of the one that was redriven"`
	Attempts   int    `json:"attempts,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// The steps of a trace.
const (
	StepReceived   = "received"
	StepJournaled  = "journaled"
	StepAttempt    = "attempt"
	StepDeadLetter = "dead_letter"
	StepResent     = "resent"
)

// TraceOf returns a trace in the form of the API.
func TraceOf(t *query.Trace) (Trace, error) {
	r := t.Event
	trace := Trace{ID: r.ID, Number: r.Seq, Steps: []TraceStep{}}
	if r.Seq > 0 {
		trace.Account, trace.Provider, trace.Origin, trace.Type = r.Account, r.Provider, r.Origin, r.Type
		if r.Type == pipeline.EventType {
			e, err := r.Event()
			if err != nil {
				return trace, err
			}
			trace.Steps = append(trace.Steps, TraceStep{Time: e.RecordedTime, Step: StepReceived, ID: r.ID})
		}
		trace.Steps = append(trace.Steps, TraceStep{
			Time: t.Journaled, Step: StepJournaled, ID: r.ID, Seq: r.Seq, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Event: r.Line,
		})
	}
	for i := range t.Steps {
		trace.Steps = append(trace.Steps, stepOf(r.ID, &t.Steps[i]))
	}
	return trace, nil
}

func stepOf(id string, s *query.Step) TraceStep {
	step := TraceStep{Time: s.Time, ID: id, Sink: s.Sink}
	switch {
	case s.Attempt != nil:
		a := s.Attempt
		step.Step, step.Endpoint, step.Status, step.Latency = StepAttempt, a.Endpoint, a.Status, a.Latency
		step.Answer, step.Error, step.Batch = a.Answer, a.Error, len(a.Events)
	case s.DeadLetter != nil:
		d := s.DeadLetter
		step.Step, step.DeadLetter, step.Attempts, step.Reason = StepDeadLetter, d.Number, d.Attempts, d.Reason
	case s.Resent != nil:
		step.Step, step.Seq, step.DeadLetter, step.Replay = StepResent, s.Resent.Seq, s.Resent.DeadLetter, s.Resent.Replay
	}
	return step
}
