package overlay

import (
	"context"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

const (
	// readAhead is how many treats a stage keeps in memory. The journal keeps the rest.
	readAhead = 1000
	// maxUrgent is how many alerts that somebody asked for may wait.
	maxUrgent = 100
)

// queue holds the treats that wait. The stage's mutex guards it.
type queue struct {
	waiting []Event         // by number, ascending
	urgent  []*urgent       // before all of them
	readTo  uint64          // the number of the last event read
	reading uint64          // counts restarts of the follower, so that a late event of an earlier one is ignored
	full    bool            // the journal has more
	room    chan struct{}   // signaled when waiting is shorter
	old     uint64          // treats passed over because of their age
	stop    func(why error) // ends the current call of Follow
}

// urgent is an alert that somebody asked for.
type urgent struct {
	alert Alert
	test  bool
}

// treats are the numbers of the alert's treat.
func (u *urgent) treats() span { return span{u.alert.Number, u.alert.Number} }

// add appends an event. It reports false if the queue is full.
func (q *queue) add(e Event) bool {
	if q.full = len(q.waiting) >= readAhead; q.full {
		return false
	}
	q.waiting = append(q.waiting, e)
	q.readTo = e.Seq
	return true
}

// take removes the first n events.
func (q *queue) take(n int) []Event {
	taken := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.signal()
	return taken
}

// ask adds an alert that somebody asked for. The error is [ErrTooManyAsked].
func (q *queue) ask(u *urgent) error {
	if len(q.urgent) >= maxUrgent {
		return ErrTooManyAsked
	}
	q.urgent = append(q.urgent, u)
	return nil
}

// holds reports whether the treat with a number is to be shown again.
func (q *queue) holds(number uint64) bool {
	return slices.ContainsFunc(q.urgent, func(u *urgent) bool { return !u.test && u.alert.Number == number })
}

func (q *queue) putBack(events []Event) { q.waiting = slices.Insert(q.waiting, 0, events...) }

// dropOld removes and returns what is older than maxAge, and when the next one will be; zero means never.
func (q *queue) dropOld(now time.Time, maxAge time.Duration) (next time.Time, old []Event) {
	if maxAge <= 0 || len(q.waiting) == 0 {
		return time.Time{}, nil
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(e Event) bool {
		end := e.current().Add(maxAge)
		if !now.Before(end) {
			old = append(old, e)
			return true
		}
		next = earliest(next, end)
		return false
	})
	if len(old) > 0 {
		q.old += uint64(len(old))
		q.signal()
	}
	return next, old
}

// clear drops everything up to a number of the journal.
func (q *queue) clear(last uint64) {
	q.waiting, q.urgent, q.full = nil, nil, false
	q.readTo = max(q.readTo, last)
	q.signal()
}

// restart makes the follower read again what comes after a number.
func (q *queue) restart(after uint64) {
	q.waiting, q.readTo, q.full = nil, after, false
	q.reading++
	q.signal()
	if q.stop != nil {
		q.stop(errRestart)
	}
}

func (q *queue) signal() {
	select {
	case q.room <- struct{}{}:
	default:
	}
}

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// follow reads the journal into the queue until ctx ends.
func (s *Stage) follow(ctx context.Context) {
	s.retry(ctx, "alerts", func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		s.mu.Lock()
		s.queue.stop = stop
		reading := s.queue.reading
		r := FollowRequest{Accounts: slices.Clone(s.settings.Accounts), After: s.queue.readTo}
		s.mu.Unlock()
		return s.config.Feed.Follow(ctx, r, func(e Event) error { return s.enqueue(ctx, reading, e) })
	})
}

// enqueue adds an event when there is room.
func (s *Stage) enqueue(ctx context.Context, reading uint64, e Event) error {
	for {
		s.mu.Lock()
		done := s.queue.reading != reading || e.Seq <= s.queue.readTo // read before, or cleared meanwhile
		if !done && e.Origin == pipeline.OriginTest && s.settings.Tests == TestsSkip {
			s.queue.readTo, done = e.Seq, true
		}
		if !done {
			done = s.queue.add(e)
		}
		room := s.queue.room
		s.mu.Unlock()
		if done {
			s.poke()
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
