package pipeline

import (
	"sync/atomic"
	"time"
)

// pulse says whether the committer goes on. The zero value is that of one that has nothing to do. Safe for use by several goroutines.
type pulse struct{ since atomic.Pointer[time.Time] }

// beat says that a step begins.
func (p *pulse) beat() {
	now := time.Now()
	p.since.Store(&now)
}

// rest says that there is nothing to do.
func (p *pulse) rest() { p.since.Store(nil) }

// Stuck is how long [Journal.Run] has been in one and the same step of writing the journal, and zero while it has nothing to write. No
// step takes more than seconds, not even while the disk is full or the server is away: each attempt is a step of its own. The one
// exception is the start of the embedded server after a fault, which reads the journal.
func (j *Journal) Stuck() time.Duration {
	since := j.pulse.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}
