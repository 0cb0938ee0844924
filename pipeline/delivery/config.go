package delivery

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// LaneConfig configures a [Lane].
type LaneConfig struct {
	// Sink is the sink's name. The lane's cursor is kept under it.
	Sink string
	// Accounts limits the lane to these. Empty: all.
	Accounts []string
	// Filter limits the lane to the events that match. One that cannot decide on an event lets it through. Nil: all.
	Filter *Filter
	// SkipTests leaves out the events of the origin test.
	SkipTests bool
	// Backfill is how the sink gets the events of the origin backfill.
	Backfill BackfillRule
	// Sender is what the sink gets to know of who sent a treat.
	Sender SenderRule
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
	Retry     RetryPolicy
	Probe     ProbePolicy
	// Alert is called with what is wrong with the sink, once. It does not wait. Nil: nobody is.
	Alert func(pipeline.AlertData)
	Log   zerolog.Logger
}

// RetryPolicy says how a lane tries an event again that the sink did not accept, though the destination answered: after
// growing delays, each varied by a fifth either way. The attempts and their times are kept on disk.
type RetryPolicy struct {
	Initial time.Duration // the first delay; each further one is twice as long
	Max     time.Duration // the longest
	// GiveUp is how long after the first attempt an event that keeps failing becomes a dead letter, unless it was tried
	// less than five times.
	GiveUp time.Duration
}

// WithDefaults fills in what is zero: 5 s, 10 h and 72 h, which makes 20 attempts.
func (p RetryPolicy) WithDefaults() RetryPolicy {
	if p.Initial == 0 {
		p.Initial = 5 * time.Second
	}
	if p.Max == 0 {
		p.Max = 10 * time.Hour
	}
	if p.GiveUp == 0 {
		p.GiveUp = 72 * time.Hour
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// ProbePolicy says how long a lane waits between two probes of a destination that fails as a whole: growing times, each
// varied by a fifth either way.
type ProbePolicy struct{ Initial, Max time.Duration }

// WithDefaults fills in what is zero: 1 s and 1 min.
func (p ProbePolicy) WithDefaults() ProbePolicy {
	if p.Initial == 0 {
		p.Initial = time.Second
	}
	if p.Max == 0 {
		p.Max = time.Minute
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// BackfillRule is how a sink gets the treats that relay found in the history later.
type BackfillRule string

// The rules.
const (
	DeliverBackfill BackfillRule = ""       // each as an event
	SkipBackfill    BackfillRule = "skip"   // not at all
	DigestBackfill  BackfillRule = "digest" // one [pipeline.Digest] for each healing of an account
)

// SenderRule is what a sink gets to know of who sent a treat.
type SenderRule string

// The rules. With a hash the same sender, of whatever account, has the same name at every sink of this journal, and nobody who
// does not hold the journal's key can find out whose it is.
const (
	ShowSender SenderRule = ""     // the name
	HideSender SenderRule = "true" // nothing: as of an anonymous treat
	HashSender SenderRule = "hash" // a name in its place
)
