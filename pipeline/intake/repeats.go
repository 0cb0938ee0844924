package intake

import (
	"math"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/index"
)

const (
	// repeatMemory is how long after a treat an exact repeat counts as a new one. Exact repeats have the same second in
	// date_created, so they arrive within minutes.
	repeatMemory = 2 * time.Hour
	// repeatTail is how far back a new process looks for repeats in the journal.
	repeatTail = 10 * time.Minute
	// repeatLimit bounds the contents that are remembered in addition to the index.
	repeatLimit = 16 << 10
)

// repeats counts the treats of each content and date that the index does not hold yet. The holder of the intake's lock
// owns it.
type repeats struct {
	counts  map[repeatKey]repeat
	seen    uint64    // the index was read up to this number
	since   time.Time // nothing journaled earlier was read
	added   int       // since the last settle
	cleaned time.Time
}

// A repeatKey is the content and date of a treat.
type repeatKey struct {
	content  uint64
	digits   int64
	floating bool
}

func keyOf(f *fingerprint.Fingerprint) repeatKey {
	return repeatKey{f.Content, f.When.Digits, f.When.Floating}
}

// A repeat counts the treats of one key.
type repeat struct {
	next     uint64 // the ordinal of the next one
	last     int64  // Unix time
	position int64  // of the last one in the backlog
}

// neverDone is the position of a treat that is not in the backlog.
const neverDone = math.MaxInt64

// next returns the ordinal of another treat of a key, given the hits of the index.
func (r *repeats) next(key repeatKey, hits []index.Hit, now time.Time) uint64 {
	next := r.counts[key].next
	if len(hits) == 0 {
		return next
	}
	since := now.Add(-repeatMemory)
	if since.Before(r.since) {
		since = r.since
	}
	for i := range hits {
		h := &hits[i]
		if h.Number <= r.seen && h.Repeat > next && !h.Journaled.Before(since.Truncate(time.Second)) {
			next = h.Repeat
		}
	}
	return next
}

// count records a treat of that ordinal.
func (r *repeats) count(key repeatKey, ordinal uint64, at time.Time, position int64) {
	r.added++
	have := r.counts[key]
	r.counts[key] = repeat{max(have.next, ordinal+1), at.Unix(), position}
}

// settle forgets what the index holds by now: backlog items up to position, and entries up to number.
func (r *repeats) settle(done int64, through uint64) {
	for key, one := range r.counts {
		if one.position <= done {
			delete(r.counts, key)
		}
	}
	r.seen, r.added = through, 0
}

// full reports whether it is time to settle.
func (r *repeats) full() bool { return len(r.counts) > repeatLimit && r.added > repeatLimit/4 }

// due reports whether it is time to forget.
func (r *repeats) due(now time.Time) bool { return now.Sub(r.cleaned) > repeatMemory }

// forget drops contents that were not seen for repeatMemory.
func (r *repeats) forget(now time.Time) {
	long := now.Add(-repeatMemory).Unix()
	for key, one := range r.counts {
		if one.last < long {
			delete(r.counts, key)
		}
	}
	r.cleaned = now
}
