package sinktest

import (
	"context"
	"io"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// Destination is the far end of a sink, a real one, and what the suite can do to it.
type Destination struct {
	Config  sinks.Config
	Stdout  io.Writer
	Nats    func(context.Context) (*nats.Conn, error)
	Arrived func(t *testing.T) []Arrival // what has come so far, in order
	Hang    func(t *testing.T) func()    // stops it from answering, until the returned function is called
	Outage  func(t *testing.T) func()    // stops it, until the returned function is called; may be nil
	shows   func(pipeline.Record) string // what it makes of a record; nil: its line
	Once    bool                         // it refuses an id it knows
	Secrets []string                     // what must never show
	End     func()                       // stops it for good
}

// Line is what arrives of a record.
func (d *Destination) Line(r pipeline.Record) string {
	if d.shows == nil {
		return string(r.Line)
	}
	return d.shows(r)
}

// Arrival is an event as the destination got it.
type Arrival struct{ ID, Line string }
