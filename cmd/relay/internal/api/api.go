// Package api defines relay's local API: its types, and the client that every command uses. The package server has the handlers.
//
// The API is versioned HTTP with JSON under [Root]. A running relay serves it on a Unix socket in its data folder, which only its user may open.
// Without a running relay, a command serves the API in its own process, over the data folder, see [Direct]. docs/api.md introduces the API, and
// docs/openapi.json describes each request.
package api

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// Root is the path prefix of this version.
const Root = "/api/v1"

// Media types of answers other than a JSON object.
const (
	// MediaLines is one JSON object per line.
	MediaLines = "application/x-ndjson"
	// MediaEvents are Server-Sent Events.
	MediaEvents = "text/event-stream"
)

// Event is an event of the journal.
type Event struct {
	Number    uint64          `json:"number" jsonschema_description:"its number in the journal; numbers increase, with gaps"`
	Time      time.Time       `json:"time" jsonschema_description:"when the treat was sent"`
	Journaled time.Time       `json:"journaled" jsonschema_description:"when it was journaled"`
	ID        string          `json:"id"`
	Account   string          `json:"account"`
	Provider  string          `json:"provider"`
	Origin    pipeline.Origin `json:"origin" jsonschema:"enum=live,enum=backfill,enum=test,enum=replay"`
	Type      string          `json:"type" jsonschema_description:"type of the CloudEvent"`
	Event     Line            `json:"event" jsonschema_description:"the CloudEvent as every sink receives it, see docs/event.md"`
}

// Line is a JSON object, byte for byte as in the journal.
type Line []byte

// MarshalJSON implements [encoding/json.Marshaler].
func (l Line) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("null"), nil
	}
	return l, nil
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (l *Line) UnmarshalJSON(data []byte) error {
	*l = append((*l)[:0:0], data...)
	return nil
}

// EventOf returns an event in the form of the API.
func EventOf(e *query.Event) Event {
	return Event{
		Number: e.Seq, Time: e.Time, Journaled: e.Journaled, ID: e.ID, Account: e.Account, Provider: e.Provider, Origin: e.Origin, Type: e.Type,
		Event: Line(e.Line),
	}
}

// Record returns the event in the form in which sinks receive it.
func (e *Event) Record() pipeline.Record {
	return pipeline.Record{Seq: e.Number, ID: e.ID, Account: e.Account, Provider: e.Provider, Origin: e.Origin, Type: e.Type, Line: e.Event}
}

// Position is where a stream of events begins.
type Position struct {
	Number uint64 `json:"number"` // of the last event before it
	// Missed is how many numbers after the Last-Event-ID the journal no longer holds: a gap that nothing can fill.
	Missed uint64 `json:"missed,omitempty"`
	// Ahead is true if the Last-Event-ID is beyond the newest number, as after the restore of an older journal. The stream begins with the next event.
	Ahead bool `json:"ahead,omitempty"`
}

// SinkChange is the result of enabling or disabling a sink.
type SinkChange struct {
	Changed       bool      `json:"changed" jsonschema_description:"false if it was enabled or disabled already"`
	DisabledSince time.Time `json:"disabled_since,omitzero" jsonschema_description:"since when it is disabled, or was until it was enabled"`
}

// LetterResult is the result of redriving or purging one dead letter.
type LetterResult struct {
	Letter journal.DeadLetter `json:"letter"`
	Kept   *Problem           `json:"kept,omitempty" jsonschema_description:"why nothing was done"`
}

// ReplayPart is the result of one part of a replay.
type ReplayPart struct {
	Sent   int       `json:"sent"`
	Done   uint64    `json:"done" jsonschema_description:"the number of the last event sent; 0: none"`
	Latest time.Time `json:"latest" jsonschema_description:"the time of that event"`
	More   bool      `json:"more" jsonschema_description:"more events may follow"`
}

// Journal summarizes the journal.
type Journal struct {
	Last     uint64 `json:"last" jsonschema_description:"the highest number assigned so far; 0: none"`
	Messages uint64 `json:"messages" jsonschema_description:"entries of every kind"`
	Bytes    uint64 `json:"bytes"`
	Newest   *Event `json:"newest,omitempty" jsonschema_description:"the newest event"`
}

// StateItem is one key of the journal's state, with its value.
type StateItem struct {
	Key   string `json:"key"`
	Value []byte `json:"value" jsonschema_description:"base64"`
}

// TestRequest journals a test event.
type TestRequest struct {
	Sink  string `json:"sink,omitempty" jsonschema_description:"deliver it to this sink only"`
	Event Line   `json:"event" jsonschema_description:"a CloudEvent with origin test"`
}
