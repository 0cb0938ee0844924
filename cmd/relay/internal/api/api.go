// Package api is relay's local API: its types, and the client that every command uses. The handlers are in the package server.
//
// The API is versioned HTTP with JSON under [Root]. A running relay serves it on a Unix socket in its data folder, which only its user may open.
// Without a running relay a command serves it to itself, over the data folder, see [Direct]. docs/openapi.json describes it, and docs/api.md says
// what it is for.
package api

import (
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// Root is the path below which everything of this version is.
const Root = "/api/v1"

// The media types of answers that are no JSON object.
const (
	// MediaLines is one JSON object a line.
	MediaLines = "application/x-ndjson"
	// MediaEvents are Server-Sent Events.
	MediaEvents = "text/event-stream"
)

// Event is an event of the journal.
type Event struct {
	Number    uint64          `json:"number" jsonschema_description:"its number in the journal; numbers rise, with gaps"`
	Time      time.Time       `json:"time" jsonschema_description:"when the treat was sent"`
	Journaled time.Time       `json:"journaled" jsonschema_description:"when it was journaled"`
	ID        string          `json:"id"`
	Account   string          `json:"account"`
	Provider  string          `json:"provider"`
	Origin    pipeline.Origin `json:"origin" jsonschema:"enum=live,enum=backfill,enum=test,enum=replay"`
	Type      string          `json:"type" jsonschema_description:"of the CloudEvent"`
	Event     Line            `json:"event" jsonschema_description:"the CloudEvent as every sink gets it, see docs/event.md"`
}

// Line is a JSON object as the journal holds it.
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

// EventOf is an event in the form of the API.
func EventOf(e *query.Event) Event {
	return Event{
		Number: e.Seq, Time: e.Time, Journaled: e.Journaled, ID: e.ID, Account: e.Account, Provider: e.Provider, Origin: e.Origin, Type: e.Type,
		Event: Line(e.Line),
	}
}

// Record is the event in the form in which sinks get it.
func (e *Event) Record() pipeline.Record {
	return pipeline.Record{Seq: e.Number, ID: e.ID, Account: e.Account, Provider: e.Provider, Origin: e.Origin, Type: e.Type, Line: e.Event}
}

// Position is where a stream of events is: the number of the last one before what follows.
type Position struct {
	Number uint64 `json:"number"`
}

// SinkChange is what came of enabling or disabling a sink.
type SinkChange struct {
	Changed       bool      `json:"changed" jsonschema_description:"false: it was so already"`
	DisabledSince time.Time `json:"disabled_since,omitzero" jsonschema_description:"since when it is, or was before it was enabled"`
}

// LetterResult is what came of redriving or purging one dead letter.
type LetterResult struct {
	Letter journal.DeadLetter `json:"letter"`
	Kept   *Problem           `json:"kept,omitempty" jsonschema_description:"why it is as it was"`
}

// ReplayPart is what came of a part of a replay.
type ReplayPart struct {
	Sent   int       `json:"sent"`
	Done   uint64    `json:"done" jsonschema_description:"the number of the last event that was sent, 0 if none was"`
	Latest time.Time `json:"latest" jsonschema_description:"the time of that event"`
	More   bool      `json:"more" jsonschema_description:"there may be more behind it"`
}

// Journal is an overview of the journal.
type Journal struct {
	Last     uint64 `json:"last" jsonschema_description:"the newest number that was given; 0: none was"`
	Messages uint64 `json:"messages" jsonschema_description:"entries, of whatever kind"`
	Bytes    uint64 `json:"bytes"`
	Newest   *Event `json:"newest,omitempty" jsonschema_description:"the event that was journaled last"`
}

// StateItem is a key of the state beside the journal.
type StateItem struct {
	Key   string `json:"key"`
	Value []byte `json:"value" jsonschema_description:"base64"`
}

// TestOrder is a test event to be journaled.
type TestOrder struct {
	Sink  string `json:"sink,omitempty" jsonschema_description:"for this sink only"`
	Event Line   `json:"event" jsonschema_description:"a CloudEvent of the origin test"`
}
