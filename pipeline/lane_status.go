package pipeline

import (
	"slices"
	"sync"
	"time"
)

// LaneStatus is how a lane is, as the process that runs it knows it. Counts begin with [OpenLane].
type LaneStatus struct {
	Sink string
	// State says whether the sink is down or disabled.
	State    SinkState
	InFlight int       // events that were taken from the journal and are not done
	Full     bool      // there are as many of them as a lane takes
	Oldest   time.Time // when the oldest of them was journaled; zero: there are none
	Taken    time.Time // when the first of them that is still there was taken
	Retries  int       // events that stepped aside until their next attempt

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

// Status tells how the lane is. It asks nobody and waits for nothing.
func (l *Lane) Status() LaneStatus {
	s := l.progress.status()
	s.Sink = l.cfg.Sink
	s.State, _ = l.gate.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.InFlight, s.Full, s.Retries = len(l.held), len(l.held) >= maxAckPending, len(l.aside)
	for _, d := range l.held {
		if s.Oldest.IsZero() || d.at.Before(s.Oldest) {
			s.Oldest = d.at
		}
		if s.Taken.IsZero() || d.taken.Before(s.Taken) {
			s.Taken = d.taken
		}
	}
	return s
}

// latencies is how many deliveries the percentiles of a lane go by.
const latencies = 1024

// progress is what a lane notes for [Lane.Status].
type progress struct {
	mu    sync.Mutex
	state LaneStatus
	took  []time.Duration // a ring
	next  int             // where it is overwritten
}

func (p *progress) status() LaneStatus {
	p.mu.Lock()
	s, took := p.state, slices.Clone(p.took)
	p.mu.Unlock()
	if len(took) > 0 {
		slices.Sort(took)
		s.P50, s.P99 = took[(len(took)-1)/2], took[(len(took)-1)*99/100]
	}
	return s
}

func (p *progress) moved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Moved = time.Now()
}

// read notes whether the journal could be read.
func (p *progress) read(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.state.UnreadSince, p.state.Unread = time.Time{}, ""
		return
	}
	if p.state.UnreadSince.IsZero() {
		p.state.UnreadSince = time.Now()
	}
	p.state.Unread = OneLine(err)
}

func (p *progress) delivered(now time.Time, events []*delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.LastDelivery = now
	p.state.Delivered += uint64(len(events))
	for _, d := range events {
		if len(p.took) < latencies {
			p.took = append(p.took, now.Sub(d.at))
			continue
		}
		p.took[p.next] = now.Sub(d.at)
		p.next = (p.next + 1) % latencies
	}
}

func (p *progress) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Failures++
}
