// Package delivery hands the journal on to the sinks. Each sink has a [Lane] with a durable place in the journal, its cursor; one reader
// follows the journal's end for all of them.
//
// Delivery is at least once, in order per account, and isolated per sink: one that is slow or down neither delays another nor uses up its
// room.
package delivery

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Config configures a [Dispatcher].
type Config struct {
	Journal *journal.Journal
	// CursorFile is the path of the second copy of the cursors, beside the one in the journal's state. Its folder exists. Empty: there is none.
	CursorFile string
	Logger     zerolog.Logger
	Metrics    *pipeline.Metrics
	// Trace is called with each attempt to deliver a treat, once it has ended. It does not wait, and is called by several goroutines. Nil: nobody is.
	Trace func(pipeline.Stage)
}

// Dispatcher reads the journal for the lanes and keeps their cursors. Its methods are safe for use by several goroutines.
type Dispatcher struct {
	cfg Config
}

// New reads the cursors. If the journal has lost its end, so that a cursor is past it, New reserves the numbers up to there.
func New(ctx context.Context, cfg Config) (*Dispatcher, error) {
	_ = ctx
	return &Dispatcher{cfg: cfg}, nil
}

// Run follows the journal's end for all lanes and saves their cursors until ctx ends. It is to be called once, and to end after the lanes: what
// a lane that runs longer has done since is saved only when that ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Open makes the lane of a sink. One whose name has no cursor yet begins at the journal's end: a sink that is new to the
// configuration is not sent what came before it. An earlier lane of that name must have ended.
func (d *Dispatcher) Open(ctx context.Context, sink pipeline.Sink, cfg LaneConfig) (*Lane, error) {
	_ = ctx
	return &Lane{cfg: cfg, sink: sink}, nil
}
