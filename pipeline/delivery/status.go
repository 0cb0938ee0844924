package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// LaneStatus is how a lane is, as the process that runs it knows it. Counts begin with [Dispatcher.Open].
type LaneStatus struct {
	Sink string
	// State says whether the sink is down or disabled.
	State   journal.SinkState
	Load        // what it has in hand
	Retries int // events that stepped aside until their next attempt

	Delivered    uint64        // events that the sink has accepted
	Failures     uint64        // attempts that failed
	LastDelivery time.Time     // zero: none yet
	P50, P99     time.Duration // from on disk to accepted, of the latest 1,024 events; 0: none yet

	// Moved is when the lane last took something from the journal, or began to: at the start of Run, and when the sink works again
	// or is enabled. Zero before Run.
	Moved time.Time
	// UnreadSince is when the lane found that it cannot read the journal, and Unread why. It is zero while it can.
	UnreadSince time.Time
	Unread      string
}

// Load is what a lane has in hand.
type Load struct {
	InFlight int       // events that were taken from the journal and are not done
	Full     bool      // there are as many of them as a lane takes, or as many bytes
	Oldest   time.Time // when the oldest of them was journaled; zero: there are none
	Taken    time.Time // when the first of them that is still there was taken
}

// latencies is how many deliveries the percentiles of a lane go by.
const latencies = 1024

// stats is what a lane counts for [Lane.Status].
type stats struct {
	mu    sync.Mutex
	state LaneStatus
	took  []time.Duration // a ring
	next  int             // where it is overwritten
}

func (s *stats) status() LaneStatus {
	s.mu.Lock()
	status, took := s.state, slices.Clone(s.took)
	s.mu.Unlock()
	if len(took) > 0 {
		slices.Sort(took)
		status.P50, status.P99 = took[(len(took)-1)/2], took[(len(took)-1)*99/100]
	}
	return status
}

// moved records that the lane took something.
func (s *stats) moved(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Moved = now
}

// read records whether the journal could be read, and reports whether that it could not is news.
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
