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
	// Select yields the attempts that match, in the order in which they were written: all, or the newest n if n > 0. An
	// error ends the sequence.
	Select(ctx context.Context, f AttemptFilter, n int) iter.Seq2[NumberedAttempt, error]
}

// AttemptFilter selects attempts. An empty or zero field selects all.
type AttemptFilter struct {
	Sinks    []string
	Accounts []string // unknown of attempts by older relays
	IDs      []string // of one of the events
	Digests  bool     // only attempts to deliver a digest
	Outcome  Outcome
	Since    time.Time // inclusive
	Until    time.Time // exclusive
}

// Outcome is the result of an attempt. The zero value stands for both.
type Outcome uint8

// The outcomes.
const (
	Accepted Outcome = iota + 1
	Failed
)

// NumberedAttempt is an attempt with its number in the log of attempts. Numbers increase, with gaps.
type NumberedAttempt struct {
	Number uint64
	pipeline.Attempt
}

// noAttempts stands in for a log of attempts that does not exist.
type noAttempts struct{}

func (noAttempts) Of(context.Context, string, time.Time) iter.Seq2[pipeline.Attempt, error] {
	return func(func(pipeline.Attempt, error) bool) {}
}

func (noAttempts) Newest(context.Context, string) ([]pipeline.Attempt, error) { return nil, nil }

func (noAttempts) Select(context.Context, AttemptFilter, int) iter.Seq2[NumberedAttempt, error] {
	return func(func(NumberedAttempt, error) bool) {}
}
