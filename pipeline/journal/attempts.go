package journal

import (
	"context"
	"iter"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Attempts reads the record of the attempts to deliver. Package attempts implements it.
type Attempts interface {
	// Of yields the attempts to deliver an event that were made since the given time. An error ends the sequence.
	Of(ctx context.Context, id string, since time.Time) iter.Seq2[pipeline.Attempt, error]
	// Newest returns the newest attempts of a sink, oldest first.
	Newest(ctx context.Context, sink string) ([]pipeline.Attempt, error)
}

// noAttempts stands in for a log of attempts that does not exist.
type noAttempts struct{}

func (noAttempts) Of(context.Context, string, time.Time) iter.Seq2[pipeline.Attempt, error] {
	return func(func(pipeline.Attempt, error) bool) {}
}

func (noAttempts) Newest(context.Context, string) ([]pipeline.Attempt, error) { return nil, nil }
