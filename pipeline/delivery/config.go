package delivery

import (
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/breaker"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
)

// LaneConfig configures a [Lane].
type LaneConfig struct {
	// Sink is the sink's name. The lane's cursor is kept under it.
	Sink string
	// What the sink is sent of the journal.
	rules.Selection
	// Strict keeps the order of an account's events whatever happens: nothing passes an event that fails. Otherwise an
	// event that has failed five times, or is to wait for more than a minute, steps aside until its next attempt.
	Strict bool
	// Unordered delivers the events of an account several at a time, and so in no certain order. It cannot be combined with Strict.
	Unordered bool
	// Concurrency is how many deliveries may be under way at a time, 0 for any number; there is one an account at most, unless
	// the lane is unordered.
	Concurrency int
	// PerSecond is how many deliveries may begin in a second, 0 for any number.
	PerSecond float64
	Retry     schedule.Policy
	Probe     breaker.Policy
	// Alert is called with what is wrong with the sink, once. It does not wait. Nil: nobody is.
	Alert func(pipeline.AlertData)
	Log   zerolog.Logger
}
