// Package pipeline is the contract between the pipeline and the sinks: events, records, the interface of a sink, and
// errors that steer delivery. The packages below it decode and normalize what a
// source received, write it to the journal, and deliver the journal to each sink.
//
// Nothing is delivered before it is journaled. Delivery is at least once, in order per account, and a dead or slow sink
// never delays another.
//
// Start reading at [Event] and [Sink]. [Permanent], [Unavailable] and the other functions that wrap an error document
// what the error of a sink means for delivery.
package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// The fixed attributes of all events (CloudEvents 1.0, "Context Attributes").
const (
	SpecVersion     = "1.0"
	EventType       = "treatrelay.treat.v1"
	AlertType       = "treatrelay.alert.v1"  // see [Alert]
	DigestType      = "treatrelay.digest.v1" // see [Digest]
	DataContentType = "application/json"
)

// Origin is how an event came into being.
type Origin string

// The origins. Live events come from the provider's socket, backfilled ones from its history, and test events from the
// operator. A replay repeats an event for one sink.
const (
	OriginLive     Origin = "live"
	OriginBackfill Origin = "backfill"
	OriginTest     Origin = "test"
	OriginReplay   Origin = "replay"
)

// Event is a treat in the form that sinks get: a CloudEvents 1.0 object. Its JSON form is one line, the same on stdout,
// in NATS and in a webhook body. Its schema is docs/event.schema.json.
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

// Data is the treat itself. A field that the provider did not send, or sent as null, is null.
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

// Alert tells the operator about a problem with a sink. It goes to the sink named under alerts. It is a CloudEvent like
// a treat, with a type of its own.
type Alert struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"` // unique
	Source          string    `json:"source"`
	Type            string    `json:"type"` // AlertType
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            AlertData `json:"data"`
}

// AlertData is the content of an alert.
type AlertData struct {
	Sink   string    `json:"sink"` // the sink with the problem
	Kind   AlertKind `json:"kind"`
	Reason string    `json:"reason"` // one line
	Hint   string    `json:"hint"`   // what to do
}

// AlertKind is what happened to a sink.
type AlertKind string

// The kinds of alerts. AlertRecovered ends AlertDown and AlertDisabled.
const (
	AlertDeadLetter AlertKind = "dead_letter"
	AlertDown       AlertKind = "down"
	AlertDisabled   AlertKind = "disabled"
	AlertRecovered  AlertKind = "recovered"
)

// Record is an event in the journal: its line, and the fields that a sink needs without decoding the line.
type Record struct {
	Seq      uint64 // the journal's sequence number; rises, with gaps
	ID       string // the event's id
	Account  string
	Provider string
	Origin   Origin
	Type     string // EventType, AlertType or DigestType
	Line     []byte // the event's JSON form without a line break; read-only
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
