package api

import (
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// The states of a relay as a whole, and of its journal. [SinkStateOf] has those of a sink.
const (
	StateReady    = "ready"
	StateDegraded = "degraded"  // it works, but somebody has to fix something else
	StateNotReady = "not_ready" // it does not receive, journal or deliver as it should
	StateSetup    = "setup"     // there is no relay.yaml yet, see [Setup]
	StateOK       = "ok"
	StateFailing  = "failing" // the journal cannot be written, or a sink has no lane
	StateAway     = "away"    // the journal's server does not answer
)

// The states of an account's connection.
const (
	ConnNone         = "none"       // the account receives no treats
	ConnConnecting   = "connecting" // for the first time
	ConnConnected    = "connected"
	ConnReconnecting = "reconnecting" // after a lost connection
	ConnLoginNeeded  = "login_needed" // until somebody logs in
)

// Status is the status of a running relay at one moment, as relay status --json prints it. It holds no secret.
type Status struct {
	Readiness
	Time     time.Time       `json:"time"`
	Version  string          `json:"version"`
	Started  time.Time       `json:"started"`
	Accounts []AccountStatus `json:"accounts"`
	Journal  JournalStatus   `json:"journal"`
	Sinks    []LaneStatus    `json:"sinks"`
	// RemovedSinks are those that relay does not run with, and that have dead letters.
	RemovedSinks []RemovedSink `json:"removed_sinks,omitempty"`
}

// RemovedSink is a sink that relay does not run with: it is not in the configuration, or was not selected at the start.
type RemovedSink struct {
	Sink        string `json:"sink"`
	DeadLetters uint64 `json:"dead_letters"`
}

// Readiness is the answer of /readyz: whether relay works, and what is wrong.
type Readiness struct {
	State    string    `json:"state" jsonschema:"enum=ready,enum=degraded,enum=not_ready,enum=setup"`
	NotReady []Trouble `json:"not_ready"`
	Degraded []Trouble `json:"degraded"`
}

// Trouble is a part of relay that is not as it should be, why, and what to do about it.
type Trouble struct {
	Part   string `json:"part" jsonschema_description:"relay, journal, account NAME or sink NAME"`
	Reason string `json:"reason" jsonschema_description:"in one line"`
	Hint
}

func (t Trouble) String() string { return t.Text("") }

// Text returns t in one line, with global flags added to the command it advises. The flags begin with a blank, or are empty.
func (t Trouble) Text(flags string) string {
	line := t.Part + ": " + t.Reason
	if t.Fix != "" {
		line += "; " + t.FixWith(flags)
	}
	return line
}

// AccountStatus is the status of an account. An account that receives no treats has a token, but no connection.
type AccountStatus struct {
	Account    string        `json:"account"`
	Provider   string        `json:"provider"`
	Connection string        `json:"connection" jsonschema:"enum=connected,enum=connecting,enum=reconnecting,enum=login_needed,enum=none"`
	Since      time.Time     `json:"since,omitzero"`
	Transport  string        `json:"transport,omitempty" jsonschema_description:"websocket or polling, while connected"`
	Reason     string        `json:"reason,omitempty" jsonschema_description:"why it is not connected, or not by WebSocket"`
	Reconnects int           `json:"reconnects" jsonschema_description:"since relay started"`
	LastTreat  *query.Newest `json:"last_treat,omitempty"`
	Token      grant.State   `json:"token"`
	TokenEnds  time.Time     `json:"token_expiry,omitzero"`
	Withheld   int           `json:"history_withheld,omitempty"`
	Hint                     // what to do about the token
}

// JournalStatus is the status of the journal. Fields that only its server knows are nil while that does not answer.
type JournalStatus struct {
	State      string    `json:"state" jsonschema:"enum=ok,enum=failing,enum=away"`
	Since      time.Time `json:"since,omitzero"`
	Reason     string    `json:"reason,omitempty"`
	Server     string    `json:"server" jsonschema_description:"files, or the hosts of journal.nats_url"`
	Events     *uint64   `json:"events,omitempty"`
	Bytes      *uint64   `json:"bytes,omitempty"`
	Oldest     time.Time `json:"oldest,omitzero"`
	LastMinute uint64    `json:"events_last_minute"`
	LastWrite  time.Time `json:"last_write,omitzero" jsonschema_description:"since relay started"`
	Waiting    int       `json:"waiting" jsonschema_description:"treats in memory, not written yet"`
}

// NotRunning is the error of a command that needs a running relay.
func NotRunning(dir string) error {
	return exit.With(exit.Unavailable, &advice.Error{Err: fmt.Errorf("no relay runs on %s", dir), Fix: advice.Do("start it with relay")})
}
