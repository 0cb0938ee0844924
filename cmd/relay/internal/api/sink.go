package api

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// The states of a sink. A [Sink] may also be new, and a [LaneStatus] failing.
const (
	StateNew      = "new"      // no relay has run it yet
	StateDown     = "down"     // its destination does not work; relay probes it
	StateDisabled = "disabled" // it receives nothing until somebody enables it
)

// SinkStateOf returns the state of a sink, OK, down or disabled, and since when it is down or disabled.
func SinkStateOf(s *journal.SinkState) (state string, since time.Time) {
	switch {
	case !s.DisabledSince.IsZero():
		return StateDisabled, s.DisabledSince
	case !s.DownSince.IsZero():
		return StateDown, s.DownSince
	}
	return StateOK, time.Time{}
}

// Sink is a sink as the journal and the log of attempts know it, whether or not a relay runs.
type Sink struct {
	Type  string `json:"type,omitempty" jsonschema_description:"left out if the configuration does not have the sink"`
	State string `json:"state" jsonschema:"enum=new,enum=ok,enum=down,enum=disabled"`
	query.SinkStatus
}

// SinkOf returns a sink in the form of the API.
func SinkOf(s *query.SinkStatus, typ string) Sink {
	state, _ := SinkStateOf(&s.SinkState)
	if state == StateOK && !s.Opened {
		state = StateNew
	}
	return Sink{Type: typ, State: state, SinkStatus: *s}
}

// LaneStatus is a sink as the lane of the relay that runs knows it. Counts begin with relay's start. What only the journal's server knows is nil
// while that does not answer.
type LaneStatus struct {
	Sink      string    `json:"sink"`
	Type      string    `json:"type"`
	State     string    `json:"state" jsonschema:"enum=ok,enum=down,enum=disabled,enum=failing"`
	Since     time.Time `json:"since,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	NextProbe time.Time `json:"next_probe,omitzero"`
	LaneQueue
	LaneDeliveries
}

// LaneQueue is what a lane has not settled.
type LaneQueue struct {
	Pending     *uint64 `json:"pending,omitempty" jsonschema_description:"in the journal, not read by the lane yet"`
	InFlight    int     `json:"in_flight" jsonschema_description:"read by the lane, not settled yet"`
	Retries     int     `json:"retries" jsonschema_description:"refused several times, and waiting while later events pass"`
	Lag         float64 `json:"lag_seconds" jsonschema_description:"how long the oldest event that is pending or in flight has been in the journal"`
	DeadLetters *uint64 `json:"dead_letters,omitempty"`
}

// LaneDeliveries is what a lane has delivered.
type LaneDeliveries struct {
	Delivered    uint64    `json:"delivered"`
	Failures     uint64    `json:"failed_attempts"`
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	P50          *float64  `json:"latency_p50_seconds,omitempty" jsonschema_description:"of the latest 1,024 deliveries, from on disk to accepted"`
	P99          *float64  `json:"latency_p99_seconds,omitempty"`
}
