package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// LaneStatus is the status of a lane in the process that runs it. Counts start with [Dispatcher.Open].
type LaneStatus struct {
	Sink string
	// State shows whether the sink is down or disabled.
	State   journal.SinkState
	Load        // the events in hand
	Retries int // deferred events

	Delivered    uint64        // events that the sink has accepted
	Failures     uint64        // failed attempts
	LastDelivery time.Time     // zero: none yet
	P50, P99     time.Duration // from on disk to accepted, of the latest 1,024 events; 0: none yet

	// Moved is when the lane last took something from the journal, or became able to: at the start of Run, and when the
	// sink works again or is enabled. Zero before Run.
	Moved time.Time
	// UnreadSince is since when the lane cannot read the journal, and Unread why. Zero while it can.
	UnreadSince time.Time
	Unread      string
}

// Load describes the events that a lane has in hand.
type Load struct {
	InFlight int       // events taken from the journal that are not settled
	Full     bool      // the lane can take no more
	Oldest   time.Time // when the oldest of them was journaled; zero: none
	Taken    time.Time // when the first of those left was taken
}

// latencies is the number of deliveries for the percentiles.
const latencies = 1024

// stats is what a lane counts for [Lane.Status].
type stats struct {
	mu    sync.Mutex
	state LaneStatus
	took  []time.Duration // a ring
	next  int             // next index to overwrite
}

func (s *stats) status() LaneStatus {
	s.mu.Lock()
	status, took := s.state, slices.Clone(s.took)
	s.mu.Unlock()
	status.P50, status.P99 = percentiles(took)
	return status
}

// latest returns the percentiles of the latest n deliveries.
func (s *stats) latest(n uint64) (p50, p99 time.Duration) {
	s.mu.Lock()
	took := make([]time.Duration, min(n, uint64(len(s.took))))
	for i := range took {
		took[i] = s.took[(s.next+len(s.took)-1-i)%len(s.took)]
	}
	s.mu.Unlock()
	return percentiles(took)
}

// percentiles sorts the durations. Without any, it returns 0.
func percentiles(took []time.Duration) (p50, p99 time.Duration) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[(len(took)-1)/2], took[(len(took)-1)*99/100]
}

// moved records that the lane took something.
func (s *stats) moved(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Moved = now
}

// read records whether the journal could be read. It reports whether a failure is new.
func (s *stats) read(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.state.UnreadSince, s.state.Unread = time.Time{}, ""
		return false
	}
	if s.state.UnreadSince.IsZero() {
		s.state.UnreadSince = time.Now()
	}
	before := s.state.Unread
	s.state.Unread = pipeline.OneLine(err)
	return s.state.Unread != before
}

func (s *stats) delivered(now time.Time, events []*delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.LastDelivery = now
	s.state.Delivered += uint64(len(events))
	for _, d := range events[max(0, len(events)-latencies):] {
		if len(s.took) < latencies {
			s.took = append(s.took, now.Sub(d.at))
			continue
		}
		s.took[s.next] = now.Sub(d.at)
		s.next = (s.next + 1) % latencies
	}
}

func (s *stats) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Failures++
}
