// Package schedule knows when an event that a sink did not accept is tried again, and keeps that on disk.
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

// Schedule knows the events that stepped aside, and brings them back when it is their time.
type Schedule struct {
	store   Store
	waiting prometheus.Gauge
	logger  zerolog.Logger
	changed chan struct{} // holds a token when the next one may be another

	mu     sync.Mutex
	known  map[uint64]*Retry // what an earlier run has left of events that were not taken since
	aside  map[uint64]*Retry // events that stepped aside
	byTime byTime            // those of them that wait
}

// New makes the schedule of a sink, whose retries are in store. waiting shows how many events stepped aside.
func New(store Store, waiting prometheus.Gauge, logger zerolog.Logger) *Schedule {
	return &Schedule{
		store: store, waiting: waiting, logger: logger, changed: make(chan struct{}, 1),
		known: make(map[uint64]*Retry), aside: make(map[uint64]*Retry),
	}
}

// Recall reads the retries that an earlier run has left. Those of events that are not open any more were only not deleted in time. Numbers from next on are
// to be read again, and are open.
func (s *Schedule) Recall(ctx context.Context, open cursor.Numbers, next uint64) error {
	all, damaged, err := s.store.All(ctx)
	if err != nil {
		return err
	}
	if damaged > 0 {
		s.logger.Warn().Int("retries", damaged).Msg("retries in the state cannot be read: these events are tried again from the beginning of their schedule")
	}
	for number, r := range all {
		if number < next && !open.Holds(number) {
			if err := s.store.drop(ctx, number); err != nil {
				s.logger.Debug().Err(err).Msg("retry of an event that is settled not deleted") // until the next start
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

// Claim returns what is known of an event that is being taken, nil if it is nothing. If the event had stepped aside, it is on the schedule again, and not to
// be delivered now.
func (s *Schedule) Claim(number uint64) *Retry {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.known[number]
	if r == nil {
		return nil
	}
	delete(s.known, number)
	if r.Aside {
		s.push(r)
	}
	return r
}

// SteppedAside reports whether an event of an earlier run had stepped aside.
func (s *Schedule) SteppedAside(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.known[number]
	return r != nil && r.Aside
}

// None reports whether nothing is left of an earlier run.
func (s *Schedule) None() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known) == 0
}

// Keep returns when a retry is on disk.
func (s *Schedule) Keep(ctx context.Context, r Retry) error { return s.store.Put(ctx, r) }

// SetAside puts an event on the schedule.
func (s *Schedule) SetAside(r *Retry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.push(r)
}

func (s *Schedule) push(r *Retry) {
	s.aside[r.Seq] = r
	heap.Push(&s.byTime, r)
	s.waiting.Set(float64(len(s.aside)))
	s.wake()
}

func (s *Schedule) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Settled deletes what is known of an event that is done. If that fails the next start does it, for the event is not open in the cursor any more.
func (s *Schedule) Settled(ctx context.Context, r *Retry) {
	s.mu.Lock()
	delete(s.aside, r.Seq)
	s.waiting.Set(float64(len(s.aside)))
	s.mu.Unlock()
	if err := clock.AtOnce(ctx, func(ctx context.Context) error { return s.store.drop(ctx, r.Seq) }); err != nil {
		s.logger.Debug().Err(err).Msg("retry of an event that is settled not deleted")
	}
}

// Replace puts what is known of another event in the place of what was known of a number.
func (s *Schedule) Replace(ctx context.Context, was, is *Retry) {
	s.Settled(ctx, was)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside[is.Seq] = is
	s.waiting.Set(float64(len(s.aside)))
}

// Forget deletes what is known of a number that means another event now.
func (s *Schedule) Forget(ctx context.Context, number uint64) {
	s.mu.Lock()
	r := s.known[number]
	if r == nil {
		r = s.aside[number]
	}
	delete(s.known, number)
	s.byTime = slices.DeleteFunc(s.byTime, func(other *Retry) bool { return other == r })
	heap.Init(&s.byTime)
	s.mu.Unlock()
	if r != nil {
		s.Settled(ctx, r)
	}
}

// Count is how many events stepped aside.
func (s *Schedule) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.aside)
}

// MakeDue brings the retries forward that failed since then, when the destination turns out to have failed as a whole, but not
// before the time that it asked for.
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

// Run calls back with each event when it is its time, until ctx ends or drain is closed. back reports false if that is to be tried again in a second.
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
