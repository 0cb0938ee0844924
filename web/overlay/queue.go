package overlay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

const (
	// readAhead is how many treats a stage keeps in memory, and readAheadBytes of how many bytes, apart from a single one. The journal keeps the rest.
	readAhead      = 1000
	readAheadBytes = 4 << 20
	// maxUrgent is how many alerts that somebody asked for may wait.
	maxUrgent = 100
)

// queue holds the treats that wait. The stage's mutex guards it.
type queue struct {
	waiting []Event         // by number, ascending
	bytes   int             // of their lines
	urgent  []*urgent       // before all of them
	readTo  uint64          // the number of the last event read
	reading uint64          // counts restarts of the follower, so that a late event of an earlier one is ignored
	more    bool            // the journal has more
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

// full reports whether there is no room for an event with a line of that many bytes.
func (q *queue) full(size int) bool {
	return len(q.waiting) >= readAhead || len(q.waiting) > 0 && q.bytes+size > readAheadBytes
}

// add appends an event. It reports false if the queue is full.
func (q *queue) add(e Event) bool {
	if q.more = q.full(len(e.Line)); q.more {
		return false
	}
	q.waiting = append(q.waiting, e)
	q.bytes += len(e.Line)
	q.readTo = e.Seq
	return true
}

// take removes the first n events.
func (q *queue) take(n int) []Event {
	taken := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.bytes -= sizeOf(taken)
	q.signal()
	return taken
}

func sizeOf(events []Event) (bytes int) {
	for i := range events {
		bytes += len(events[i].Line)
	}
	return bytes
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

func (q *queue) putBack(events []Event) {
	q.waiting = slices.Insert(q.waiting, 0, events...)
	q.bytes += sizeOf(events)
}

// dropOld removes and returns what is older than maxAge, and when the next one will be; zero means never.
func (q *queue) dropOld(now time.Time, maxAge time.Duration) (next time.Time, old []Event) {
	if maxAge <= 0 || len(q.waiting) == 0 {
		return time.Time{}, nil
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(e Event) bool {
		end := e.current().Add(maxAge)
		if !now.Before(end) {
			old = append(old, e)
			q.bytes -= len(e.Line)
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
	q.waiting, q.bytes, q.urgent, q.more = nil, 0, nil, false
	q.readTo = max(q.readTo, last)
	q.signal()
}

// restart makes the follower read again what comes after a number.
func (q *queue) restart(after uint64) {
	q.waiting, q.bytes, q.readTo, q.more = nil, 0, after, false
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

// errFull means that the queue has no room for an event.
var errFull = errors.New("the queue is full")

// follow reads the journal into the queue until ctx ends.
func (s *Stage) follow(ctx context.Context) {
	s.retry(ctx, "alerts", func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		s.mu.Lock()
		s.queue.stop = stop
		reading, room := s.queue.reading, s.queue.room
		r := FollowRequest{Accounts: slices.Clone(s.settings.Accounts), After: s.queue.readTo}
		s.mu.Unlock()
		for {
			size := 0
			err := s.config.Feed.Follow(ctx, r, func(e Event) error {
				e = slim(e)
				if !s.enqueue(reading, e) {
					size = len(e.Line)
					return errFull
				}
				r.After = e.Seq
				return nil
			})
			if !errors.Is(err, errFull) {
				return err
			}
			// Nothing of the journal is in memory meanwhile. It is not read again for each place in the queue.
			for s.crowded(size) {
				select {
				case <-room:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
	})
}

// crowded reports whether less than an eighth of the queue is free, or an event with a line of that many bytes does not fit.
func (s *Stage) crowded(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	return q.full(size) || len(q.waiting) > readAhead*7/8 || len(q.waiting) > 1 && q.bytes > readAheadBytes*7/8
}

// enqueue adds an event. It reports false if there is no room.
func (s *Stage) enqueue(reading uint64, e Event) bool {
	s.mu.Lock()
	done := s.queue.reading != reading || e.Seq <= s.queue.readTo // read before, or cleared meanwhile
	if !done && e.Origin == pipeline.OriginTest && s.settings.Tests == TestsSkip {
		s.queue.readTo, done = e.Seq, true
	}
	done = done || s.queue.add(e)
	s.mu.Unlock()
	if done {
		s.poke()
	}
	return done
}
