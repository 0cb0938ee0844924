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
	// Sink is the sink's name. The lane's cursor is stored under it.
	Sink string
	// Selection decides which records the sink is sent.
	rules.Selection
	// Strict keeps the order of an account's events in all cases: nothing passes a failing event. Otherwise an event
	// that has failed five times, or has to wait more than a minute, is deferred until its next attempt.
	Strict bool
	// Unordered delivers events of an account concurrently, in no particular order. It cannot be combined with Strict.
	Unordered bool
	// Concurrency bounds the concurrent deliveries; 0: unlimited. There is at most one per account, unless the lane is
	// unordered.
	Concurrency int
	// PerSecond bounds the deliveries started per second; 0: unlimited.
	PerSecond float64
	Retry     schedule.Policy
	Probe     breaker.Policy
	// Alert is called once for each problem of the sink. It must not block. Nil: no alerts.
	Alert func(pipeline.AlertData)
	Log   zerolog.Logger
}
