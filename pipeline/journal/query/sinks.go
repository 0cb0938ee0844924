package query

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// SinkStatus is the state of a sink according to the journal and the log of attempts.
type SinkStatus struct {
	Sink string `json:"sink"`
	// Opened is false for a sink that relay has never run. Such a sink starts with the next event.
	Opened bool `json:"opened"`
	journal.SinkState
	// Pending counts the entries that the lane has not read yet. It is exact up to 20,000 numbers. Beyond that it is an upper
	// bound, which includes entries that the lane will skip.
	Pending     uint64 `json:"pending"`
	InFlight    int    `json:"in_flight"`    // events that the lane has read and not settled, without deferred retries
	Retries     int    `json:"retries"`      // failed events that will be tried again
	DeadLetters uint64 `json:"dead_letters"` // the current count
	// LastAttempt is the newest attempt, or nil. LastDelivery is the end of the newest successful attempt, or zero. It is
	// also zero if that attempt is not in the same entry of the log of attempts as LastAttempt.
	LastAttempt  *pipeline.Attempt `json:"last_attempt,omitempty"`
	LastDelivery time.Time         `json:"last_delivery,omitzero"`
}

// pendingExact is the largest range of numbers that is read for an exact count.
const pendingExact = 20_000

// Sinks returns the status of the named sinks, followed by the other sinks that have a cursor, sorted by name.
func Sinks(ctx context.Context, j *journal.Journal, names []string) ([]SinkStatus, error) {
	dead, err := j.DeadLetterCounts(ctx)
	if err != nil {
		return nil, err
	}
	cursors, err := j.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(cursors)), func(sink string) bool { return slices.Contains(names, sink) })
	var statuses []SinkStatus
	for _, sink := range slices.Concat(names, others) {
		s := SinkStatus{Sink: sink, DeadLetters: dead[sink]}
		if s.SinkState, err = j.SinkState(ctx, sink); err != nil {
			return nil, err
		}
		deferred, err := retries(ctx, j, &s)
		if err != nil {
			return nil, err
		}
		if c, ok := cursors[sink]; ok {
			s.Opened = true
			for _, rng := range c.Open {
				s.InFlight += int(rng.Last - rng.First + 1) //nolint:gosec // the lane holds them in memory
			}
			s.InFlight = max(s.InFlight-deferred, 0)
			b, err := pending(ctx, j, sink, &c)
			if err != nil {
				return nil, err
			}
			s.Pending = b.Pending
		}
		if err := lastAttempt(ctx, j, &s); err != nil {
			return nil, err
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// retries sets s.Retries, and returns how many of the retries are deferred, so that later events pass them.
func retries(ctx context.Context, j *journal.Journal, s *SinkStatus) (deferred int, err error) {
	err = j.State().List(ctx, journal.RetryPrefix(s.Sink), func(_ string, value []byte) error {
		var r struct {
			Aside bool `json:"aside"`
		}
		if json.Unmarshal(value, &r) == nil && r.Aside {
			deferred++
		}
		s.Retries++
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read the retries of sink %s: %w", s.Sink, err)
	}
	return deferred, nil
}

// Backlog is what a sink has not received.
type Backlog struct {
	Pending     uint64    // see [SinkStatus]
	Oldest      time.Time // when the oldest pending entry was journaled; zero: nothing is pending
	DeadLetters uint64    // the current count
}

// pending returns what the lane of a sink has not read yet.
func pending(ctx context.Context, j *journal.Journal, sink string, c *journal.Cursor) (b Backlog, err error) {
	first, next := j.Bounds()
	from := max(c.Next, first)
	if from >= next {
		return b, nil
	}
	until := min(next, from+pendingExact)
	for r, err := range journal.Scan(ctx, j, from, until) {
		if err != nil {
			return b, fmt.Errorf("count pending entries of sink %s: %w", sink, err)
		}
		if !takes(c, sink, &r.Entry) {
			continue
		}
		if b.Pending++; b.Pending == 1 {
			b.Oldest = r.Time
		}
		if until < next {
			break // too many for an exact count
		}
	}
	if until < next {
		b.Pending = next - from
	}
	return b, nil
}

// takes reports whether the lane with that cursor delivers an entry.
func takes(c *journal.Cursor, sink string, e *journal.Entry) bool {
	switch e.Kind {
	case journal.Treat:
		return len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account)
	case journal.Resend:
		return e.Sink == sink
	case journal.Backfill:
		return c.Digests && (len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account))
	default:
		return false
	}
}

// Survey is a summary of the journal. The number of events and the newest one of each account are not part of it: the index
// of the intake knows them without reading the journal.
type Survey struct {
	Bytes  uint64    // on disk
	Oldest time.Time // when the oldest entry was journaled; zero: the journal is empty
	// Backlogs holds the backlog of each sink that has a cursor.
	Backlogs map[string]Backlog
	// DeadLetters counts those of each sink that has some, with or without a cursor.
	DeadLetters map[string]uint64
}

// Newest is the newest event of an account.
type Newest struct {
	Time   time.Time       `json:"time"` // when it was journaled
	Origin pipeline.Origin `json:"origin"`
}

// TakeSurvey summarizes the journal and how far the sinks are.
func TakeSurvey(ctx context.Context, j *journal.Journal) (s Survey, err error) {
	s.Bytes = uint64(max(j.Log().Size(), 0))
	s.Backlogs = make(map[string]Backlog)
	first, _ := j.Bounds()
	oldest, err := j.Read(ctx, first, 1)
	if err != nil {
		return s, err
	}
	if len(oldest) > 0 {
		s.Oldest = oldest[0].Time
	}
	if s.DeadLetters, err = j.DeadLetterCounts(ctx); err != nil {
		return s, err
	}
	cursors, err := j.Cursors(ctx)
	if err != nil {
		return s, err
	}
	for sink, c := range cursors {
		b, err := pending(ctx, j, sink, &c)
		if err != nil {
			return s, err
		}
		b.DeadLetters = s.DeadLetters[sink]
		s.Backlogs[sink] = b
	}
	return s, nil
}

// Overview is a summary of a journal for relay doctor.
type Overview struct {
	Messages uint64 // entries of all kinds
	Bytes    uint64
	// Newest is the event that was journaled last, at the time Recorded. Its ID is empty if there is no event.
	Newest   pipeline.Record
	Recorded time.Time
}

// Inspect returns an overview of the journal.
func Inspect(ctx context.Context, j *journal.Journal) (o Overview, err error) {
	first, next := j.Bounds()
	o.Messages, o.Bytes = next-first, uint64(max(j.Log().Size(), 0))
	gaps, err := j.Gaps(ctx)
	if err != nil {
		return o, fmt.Errorf("inspect the journal: %w", err)
	}
	for _, g := range gaps {
		if from := max(g.First, first); from <= g.Last {
			o.Messages -= min(g.Last-from+1, o.Messages)
		}
	}
	for size := uint64(512); ; size *= 4 { // backwards from the end, in growing steps
		from := first
		if next > first+size {
			from = next - size
		}
		for r, err := range journal.Scan(ctx, j, from, next) {
			if err != nil {
				return o, fmt.Errorf("find the newest event of the journal: %w", err)
			}
			if r.Kind == journal.Treat && r.IsEvent() {
				o.Newest, o.Recorded = r.Delivery(), r.Time
			}
		}
		if o.Newest.ID != "" || from == first {
			return o, nil
		}
		next = from
	}
}

// lastAttempt sets LastAttempt and LastDelivery.
func lastAttempt(ctx context.Context, j *journal.Journal, s *SinkStatus) error {
	attempts, err := j.Attempts().Newest(ctx, s.Sink)
	if err != nil {
		return fmt.Errorf("read the last attempt of sink %s: %w", s.Sink, err)
	}
	for _, a := range attempts {
		a.Events = nil // there can be hundreds
		s.LastAttempt = &a
		if a.Error == "" {
			s.LastDelivery = a.Time.Add(a.Latency)
		}
	}
	return nil
}
