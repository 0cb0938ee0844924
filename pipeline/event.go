// Package pipeline is the way of a treat from a source to the sinks: it decodes and normalizes what the source
// received, writes it to the journal, and delivers the journal to each sink through a lane of its own.
//
// Nothing is delivered that is not journaled first. Delivery is at least once, in order per account, and a dead or slow
// sink never delays another.
package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// The fixed attributes of every event (CloudEvents 1.0, "Context Attributes").
const (
	SpecVersion     = "1.0"
	EventType       = "treatrelay.treat.v1"
	AlertType       = "treatrelay.alert.v1"  // see [Alert]
	DigestType      = "treatrelay.digest.v1" // see [Digest]
	DataContentType = "application/json"
)

// Origin says how an event came to be.
type Origin string

// The origins. Live events were received from the provider's socket; test events were made by the operator.
const (
	OriginLive     Origin = "live"
	OriginBackfill Origin = "backfill"
	OriginTest     Origin = "test"
	OriginReplay   Origin = "replay"
)

// Event is one treat as relay hands it on: a CloudEvents 1.0 object in JSON format. Its JSON form, one line, is the same
// on stdout, in NATS and in a webhook body; docs/event.schema.json is its schema.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`     // see [NewID]
	Source          string    `json:"source"` // "/{provider}/{account}"
	Type            string    `json:"type"`
	Time            time.Time `json:"time"`         // when the treat was sent; see [Normalizer]
	RecordedTime    time.Time `json:"recordedtime"` // when relay received it
	DataContentType string    `json:"datacontenttype"`
	Origin          Origin    `json:"origin"`
	Data            Data      `json:"data"`
}

// Data is the treat itself. A field the provider did not send, or sent as null, is null.
type Data struct {
	Account      string          `json:"account"`
	Provider     string          `json:"provider"`
	Sender       *string         `json:"sender"` // null for an anonymous treat
	SenderType   *string         `json:"sender_type"`
	Receiver     *string         `json:"receiver"`
	ReceiverType *string         `json:"receiver_type"`
	Title        *string         `json:"title"`
	Message      *string         `json:"message"`
	Anonymous    bool            `json:"anonymous"`
	DateCreated  *string         `json:"date_created"`  // as the provider wrote it
	Raw          json.RawMessage `json:"raw,omitempty"` // the provider's object, only with keep_raw
}

// Alert is relay's word to the operator that something is wrong with a sink, as the sink named under alerts receives it: a
// CloudEvent like a treat, with a type of its own.
type Alert struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"` // unique
	Source          string    `json:"source"`
	Type            string    `json:"type"` // AlertType
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            AlertData `json:"data"`
}

// AlertData is what an alert says.
type AlertData struct {
	Sink   string    `json:"sink"` // the one in trouble
	Kind   AlertKind `json:"kind"`
	Reason string    `json:"reason"` // one line
	Hint   string    `json:"hint"`   // what to do
}

// AlertKind is what happened to a sink.
type AlertKind string

// The kinds of alerts. Recovered ends Down and Disabled.
const (
	AlertDeadLetter AlertKind = "dead_letter"
	AlertDown       AlertKind = "down"
	AlertDisabled   AlertKind = "disabled"
	AlertRecovered  AlertKind = "recovered"
)

// Record is an event as it lies in the journal: the line to hand on, and what a sink needs to know of it without
// decoding the line.
type Record struct {
	Seq      uint64 // the journal's sequence number; grows, with gaps
	ID       string // the event's id
	Account  string
	Provider string
	Origin   Origin
	Type     string // EventType, AlertType or DigestType
	Line     []byte // the event's JSON form, without a line break; not to be changed
}

// Event decodes the line of a treat.
func (r Record) Event() (Event, error) {
	var e Event
	if err := json.Unmarshal(r.Line, &e); err != nil {
		return Event{}, fmt.Errorf("decode journaled event %s: %w", r.ID, err)
	}
	return e, nil
}

// Alert decodes the line of an alert.
func (r Record) Alert() (Alert, error) {
	var a Alert
	if err := json.Unmarshal(r.Line, &a); err != nil {
		return Alert{}, fmt.Errorf("decode alert %s: %w", r.ID, err)
	}
	return a, nil
}
