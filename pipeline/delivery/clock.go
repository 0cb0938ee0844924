package delivery

import (
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// What is waited for in memory is waited for by the monotonic clock, which goes on when somebody sets the other one: its times come from
// time.Now and keep that reading, which UTC and JSON strip (package time, "Monotonic Clocks"). On disk there is the wall clock only.

// onDisk is a time as it is kept on disk.
func onDisk(t time.Time) time.Time { return t.UTC() }

// waking is when something is due, by the monotonic clock of now, that was to be due at due by a clock that said noted when that was
// decided. If that clock was ahead, and was set right since, it is not waited for longer than was decided then.
func waking(due, noted, now time.Time) time.Time {
	if due.IsZero() {
		return due
	}
	wait := due.Sub(now)
	if noted.After(now) {
		wait = min(wait, due.Sub(noted))
	}
	return now.Add(wait)
}

// wakeSink makes a state of what was read from disk, and reports whether the clock was ahead when it was written: then it is to be kept
// again, for the next start would calculate from the same wrong time.
func wakeSink(s *journal.SinkState, now time.Time) (ahead bool) {
	if s.NotBefore.IsZero() {
		return false
	}
	s.NotBefore = waking(s.NotBefore, s.NotedAt, now)
	if wrong := s.NotedAt.Sub(now); wrong > 0 {
		s.DownSince, s.NotedAt = s.DownSince.Add(-wrong), now
		return true
	}
	return false
}

// wake does the same for an event that is to be tried again.
func (r *retry) wake(now time.Time) (ahead bool) {
	r.Next, r.Floor = waking(r.Next, r.Last, now), waking(r.Floor, r.Last, now)
	if ahead = r.Last.After(now); ahead {
		r.Last = now
	}
	if r.First.After(now) {
		r.First = now
	}
	return ahead
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
