// Package schedule decides when to retry an event that a sink did not accept, and stores that durably. It does
// not depend on the sink or the queue of the event. Start reading at [Policy] and [Schedule].
package schedule

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
)

// Schedule holds the deferred events and brings them back when they are due.
type Schedule struct {
	store   Store
	waiting prometheus.Gauge
	logger  zerolog.Logger
	changed chan struct{} // signals that the next one may have changed

	mu       sync.Mutex
	known    map[uint64]*Retry // retries of an earlier run whose events were not taken since
	deferred map[uint64]*Retry // deferred events
	byTime   byTime            // those of them that wait
}

// New makes the schedule of a sink. waiting is the gauge of deferred events.
func New(store Store, waiting prometheus.Gauge, logger zerolog.Logger) *Schedule {
	return &Schedule{
		store: store, waiting: waiting, logger: logger, changed: make(chan struct{}, 1),
		known: make(map[uint64]*Retry), deferred: make(map[uint64]*Retry),
	}
}

// Restore reads the retries of an earlier run. It deletes those whose event is settled. Numbers from next on will be
// read again, and count as open.
func (s *Schedule) Restore(ctx context.Context, open cursor.Numbers, next uint64) error {
	all, damaged, err := s.store.All(ctx)
	if err != nil {
		return err
	}
	if damaged > 0 {
		s.logger.Warn().Int("retries", damaged).Msg("retries in the state cannot be read: these events are tried again from the beginning of their schedule")
	}
	for number, r := range all {
		if number < next && !open.Contains(number) {
			if err := s.store.drop(ctx, number); err != nil {
				s.logger.Debug().Err(err).Msg("retry of a settled event not deleted") // the next start deletes it
			}
			continue
		}
		if r.wake(time.Now()) {
			if err := s.store.Put(ctx, *r); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.known[number] = r
		s.mu.Unlock()
	}
	return nil
}

// Claim returns the retry of an event that is being taken, or nil. If the event was deferred, it is on the schedule
// again and must not be delivered now.
func (s *Schedule) Claim(number uint64) *Retry {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.known[number]
	if r == nil {
		return nil
	}
	delete(s.known, number)
	if r.Deferred {
		s.push(r)
	}
	return r
}

// WasDeferred reports whether an event of an earlier run was deferred.
func (s *Schedule) WasDeferred(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.known[number]
	return r != nil && r.Deferred
}

// None reports whether no retry of an earlier run is left.
func (s *Schedule) None() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known) == 0
}

// Save stores a retry durably.
func (s *Schedule) Save(ctx context.Context, r Retry) error { return s.store.Put(ctx, r) }

// Defer puts a deferred event on the schedule.
func (s *Schedule) Defer(r *Retry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.push(r)
}

func (s *Schedule) push(r *Retry) {
	s.deferred[r.Seq] = r
	heap.Push(&s.byTime, r)
	s.waiting.Set(float64(len(s.deferred)))
	s.wake()
}

func (s *Schedule) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Settled deletes the retry of a settled event. If that fails, the next start does it, since the event is no longer
// open in the cursor.
func (s *Schedule) Settled(ctx context.Context, r *Retry) {
	s.mu.Lock()
	delete(s.deferred, r.Seq)
	s.waiting.Set(float64(len(s.deferred)))
	s.mu.Unlock()
	if err := clock.WriteWithTimeout(ctx, func(ctx context.Context) error { return s.store.drop(ctx, r.Seq) }); err != nil {
		s.logger.Debug().Err(err).Msg("retry of a settled event not deleted")
	}
}

// Replace moves the retry of another event to a number.
func (s *Schedule) Replace(ctx context.Context, was, is *Retry) {
	s.Settled(ctx, was)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deferred[is.Seq] = is
	s.waiting.Set(float64(len(s.deferred)))
}

// Forget deletes the retry of a number that means another event now.
func (s *Schedule) Forget(ctx context.Context, number uint64) {
	s.mu.Lock()
	r := s.known[number]
	if r == nil {
		r = s.deferred[number]
	}
	delete(s.known, number)
	s.byTime = slices.DeleteFunc(s.byTime, func(other *Retry) bool { return other == r })
	heap.Init(&s.byTime)
	s.mu.Unlock()
	if r != nil {
		s.Settled(ctx, r)
	}
}

// Count returns the number of deferred events.
func (s *Schedule) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.deferred)
}

// MakeDue brings forward the retries that failed since then, once the destination turns out to have been down. It
// respects the times that the destination asked for.
func (s *Schedule) MakeDue(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, r := range s.byTime {
		if !r.Last.Before(since) && r.Next.After(now) {
			r.Next = clock.Later(now, r.Floor)
		}
	}
	heap.Init(&s.byTime)
	s.wake()
}

// Run calls back with each event that is due, until ctx ends or drain is closed. If back reports false, Run retries
// after a second.
func (s *Schedule) Run(ctx context.Context, drain <-chan struct{}, back func(*Retry) bool) {
	for {
		s.mu.Lock()
		var next *Retry
		wait := time.Duration(-1)
		if len(s.byTime) > 0 {
			next = s.byTime[0]
			if wait = max(time.Until(next.Next), 0); wait == 0 {
				heap.Pop(&s.byTime)
			}
		}
		s.mu.Unlock()
		if wait != 0 {
			if !clock.Await(ctx, drain, s.changed, wait) {
				return
			}
			continue
		}
		if !back(next) {
			s.mu.Lock()
			next.Next = time.Now().Add(time.Second)
			heap.Push(&s.byTime, next)
			s.mu.Unlock()
		}
	}
}
