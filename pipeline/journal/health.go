package journal

import (
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Health is how the writing of the journal goes, as the process that writes it knows it.
type Health struct {
	// FailingSince is when the write that is under way began to fail, and Reason in one line why. It is zero while writes succeed,
	// and while there is nothing to write.
	FailingSince time.Time
	Reason       string
	Waiting      int       // entries in memory that wait for it
	LastWrite    time.Time // when something was last written; zero: not yet
	LastMinute   uint64    // events written within the last 60 s
}

// Health says how the writing of the journal goes. It waits for nothing.
func (j *Journal) Health() Health {
	h := j.health.now(time.Now())
	h.Waiting += j.queue.len()
	return h
}

// health is what the committer notes for [Journal.Health].
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

// failed notes that a write of so many entries, which began then, does not succeed.
func (h *health) failed(since time.Time, waiting int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.FailingSince.IsZero() {
		h.state.FailingSince = since
	}
	h.state.Reason, h.state.Waiting = pipeline.OneLine(err), waiting
}

// wrote notes that a write has succeeded, and how many events were new in it.
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
