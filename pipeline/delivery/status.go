package delivery

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// LaneStatus is how a lane is, as the process that runs it knows it. Counts begin with [Dispatcher.Open].
type LaneStatus struct {
	Sink string
	// State says whether the sink is down or disabled.
	State journal.SinkState
	Load
	Retries int // events that stepped aside until their next attempt
	Work
	Reading
}

// Load is what a lane has in hand.
type Load struct {
	InFlight int       // events that were taken from the journal and are not done
	Full     bool      // there are as many of them as a lane takes, or as many bytes
	Oldest   time.Time // when the oldest of them was journaled; zero: there are none
	Taken    time.Time // when the first of them that is still there was taken
}

// Work is what a lane has done.
type Work struct {
	Delivered    uint64        // events that the sink has accepted
	Failures     uint64        // attempts that failed
	LastDelivery time.Time     // zero: none yet
	P50, P99     time.Duration // from on disk to accepted, of the latest 1,024 events; 0: none yet
}

// Reading is how a lane gets on with reading the journal.
type Reading struct {
	// Next is the number from which on the lane has taken nothing.
	Next uint64
	// Moved is when the lane last took something from the journal, or began to: at the start of Run, and when the sink works again
	// or is enabled. Zero before Run.
	Moved time.Time
	// UnreadSince is when the lane found that it cannot read the journal, and Unread why. It is zero while it can.
	UnreadSince time.Time
	Unread      string
}
