package journal

import (
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Health describes how the process that writes the journal is doing.
type Health struct {
	// FailingSince is when the current write started to fail, and Reason why, in one line. It is zero while writes
	// succeed and while there is nothing to write.
	FailingSince time.Time
	Reason       string
	Waiting      int       // entries that wait in memory
	LastWrite    time.Time // time of the last successful write; zero: none yet
	LastMinute   uint64    // events written within the last 60 s
}

// Health returns the state of the writing. It does not block.
func (j *Journal) Health() Health {
	h := j.health.now(time.Now())
	h.Waiting += j.queue.len()
	return h
}

// health holds the data for [Journal.Health].
type health struct {
	mu     sync.Mutex
	state  Health
	counts [60]struct { // events written, by second
		at int64 // Unix time
		n  uint64
	}
}

func (h *health) now(now time.Time) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := h.state
	for _, c := range h.counts {
		if age := now.Unix() - c.at; age >= 0 && age < int64(len(h.counts)) {
			state.LastMinute += c.n
		}
	}
	return state
}

// failed records a failed write of that many entries, which started at since.
func (h *health) failed(since time.Time, waiting int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.FailingSince.IsZero() {
		h.state.FailingSince = since
	}
	h.state.Reason, h.state.Waiting = pipeline.OneLine(err), waiting
}

// wrote records a successful write and the number of new events in it.
func (h *health) wrote(now time.Time, events uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = Health{LastWrite: now}
	c := &h.counts[now.Unix()%int64(len(h.counts))]
	if c.at != now.Unix() {
		c.at, c.n = now.Unix(), 0
	}
	c.n += events
}
