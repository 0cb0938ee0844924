package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// SinkStatus is how a sink is, as the journal and the log of attempts know it.
type SinkStatus struct {
	Sink string `json:"sink"`
	// Opened is false for a sink that no relay has run yet: it begins with the next event.
	Opened bool `json:"opened"`
	SinkState
	// Pending are the entries in the journal that its lane has not taken yet. Of very many it is not known which the lane will leave out: then it is
	// how many numbers there are.
	Pending     uint64 `json:"pending"`
	InFlight    int    `json:"in_flight"`    // events that its lane has taken and that are not done, those that stepped aside apart
	Retries     int    `json:"retries"`      // events that were refused and will be tried again
	DeadLetters uint64 `json:"dead_letters"` // those there are now
	// LastAttempt is the latest one in the log of attempts, LastDelivery the end of the latest that succeeded, if it is among
	// those written together with it. Nil and zero if there is none.
	LastAttempt  *pipeline.Attempt `json:"last_attempt,omitempty"`
	LastDelivery time.Time         `json:"last_delivery,omitzero"`
}

// pendingExact is up to how many numbers are read to count exactly what a lane will be sent.
const pendingExact = 20_000

// Sinks returns how the sinks of these names are, and after them the others that have a place in the journal, by name.
func (j *Journal) Sinks(ctx context.Context, names []string) ([]SinkStatus, error) {
	dead, err := j.deadCounts(ctx)
	if err != nil {
		return nil, err
	}
	cursors, err := j.cursors(ctx)
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
		aside, err := j.retries(ctx, &s)
		if err != nil {
			return nil, err
		}
		if c, ok := cursors[sink]; ok {
			s.Opened = true
			for _, span := range c.Open {
				s.InFlight += int(span.Last - span.First + 1) //nolint:gosec // it is in memory
			}
			s.InFlight = max(s.InFlight-aside, 0)
			b, err := j.pending(ctx, sink, &c)
			if err != nil {
				return nil, err
			}
			s.Pending = b.Pending
		}
		if err := j.lastAttempt(ctx, &s); err != nil {
			return nil, err
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// SetCursors lets [Journal.Sinks] and [Journal.Survey] go by the cursors of the lanes that this process runs, by sink, which are ahead of their
// copies in the state. It is safe to call current at any time from then on, by several goroutines.
func (j *Journal) SetCursors(current func() map[string]Cursor) { j.lanes.Store(&current) }

// cursors returns the lanes' cursors by sink. One that cannot be read is not among them.
func (j *Journal) cursors(ctx context.Context) (map[string]Cursor, error) {
	all := make(map[string]Cursor)
	err := j.cfg.State.List(ctx, cursorPrefix, func(key string, value []byte) error {
		var c Cursor
		if json.Unmarshal(value, &c) == nil {
			all[strings.TrimPrefix(key, cursorPrefix)] = c
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrDamagedValue) {
		return nil, fmt.Errorf("read the cursors of the sinks: %w", err)
	}
	if current := j.lanes.Load(); current != nil {
		maps.Copy(all, (*current)())
	}
	return all, nil
}

// retries counts the retries of a sink, and those of them that stepped aside.
func (j *Journal) retries(ctx context.Context, s *SinkStatus) (aside int, err error) {
	err = j.cfg.State.List(ctx, RetryPrefix(s.Sink), func(_ string, value []byte) error {
		var r struct {
			Aside bool `json:"aside"`
		}
		if json.Unmarshal(value, &r) == nil && r.Aside {
			aside++
		}
		s.Retries++
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read the retries of sink %s: %w", s.Sink, err)
	}
	return aside, nil
}

// Retries is how many events a sink did not accept yet and will be given again.
func (j *Journal) Retries(ctx context.Context, sink string) (int, error) {
	s := SinkStatus{Sink: sink}
	_, err := j.retries(ctx, &s)
	return s.Retries, err
}

// Backlog is what a sink has not got.
type Backlog struct {
	Pending     uint64    // see [SinkStatus]
	Oldest      time.Time // when the oldest of them was journaled; zero: there are none
	DeadLetters uint64    // those there are now
}

// pending says what a lane has not taken yet.
func (j *Journal) pending(ctx context.Context, sink string, c *Cursor) (b Backlog, err error) {
	first, next := j.Bounds()
	from := max(c.Next, first)
	if from >= next {
		return b, nil
	}
	until := min(next, from+pendingExact)
	for r, err := range scan(ctx, j, from, until) {
		if err != nil {
			return b, fmt.Errorf("count what waits for sink %s: %w", sink, err)
		}
		if !c.takes(sink, &r.Entry) {
			continue
		}
		if b.Pending++; b.Pending == 1 {
			b.Oldest = r.Time
		}
		if until < next {
			break // the number of all is not counted
		}
	}
	if until < next {
		b.Pending = next - from
	}
	return b, nil
}

// takes reports whether the lane takes an entry.
func (c *Cursor) takes(sink string, e *Entry) bool {
	switch e.Kind {
	case Treat:
		return len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account)
	case Resend:
		return e.Sink == sink
	case Heal:
		return c.Digests && (len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account))
	default:
		return false
	}
}

// Survey is what the journal says of itself. How many events it holds, and the newest of each account, is known to the index of
// the intake, which does not read the journal for it.
type Survey struct {
	Bytes  uint64    // of all that it keeps
	Oldest time.Time // when the oldest entry was journaled; zero: it is empty
	// Backlogs are what the sinks have not got, for each that has a place in the journal.
	Backlogs map[string]Backlog
}

// Newest is the newest event of an account.
type Newest struct {
	Time   time.Time       `json:"time"` // when it was journaled
	Origin pipeline.Origin `json:"origin"`
}

// Survey inspects the journal and the places of the sinks in it.
func (j *Journal) Survey(ctx context.Context) (s Survey, err error) {
	s.Bytes = uint64(max(j.cfg.Log.Size(), 0))
	s.Backlogs = make(map[string]Backlog)
	first, _ := j.Bounds()
	oldest, err := j.Read(ctx, first, 1)
	if err != nil {
		return s, err
	}
	if len(oldest) > 0 {
		s.Oldest = oldest[0].Time
	}
	dead, err := j.deadCounts(ctx)
	if err != nil {
		return s, err
	}
	cursors, err := j.cursors(ctx)
	if err != nil {
		return s, err
	}
	for sink, c := range cursors {
		b, err := j.pending(ctx, sink, &c)
		if err != nil {
			return s, err
		}
		b.DeadLetters = dead[sink]
		s.Backlogs[sink] = b
	}
	return s, nil
}

// Overview is what there is to be seen of a journal from outside, as by relay doctor.
type Overview struct {
	Messages uint64 // entries, of whatever kind
	Bytes    uint64
	// Newest is the event that was journaled last, at Recorded. Its ID is empty if there is none.
	Newest   pipeline.Record
	Recorded time.Time
}

// Inspect returns an overview of the journal. It changes nothing.
func (j *Journal) Inspect(ctx context.Context) (o Overview, err error) {
	first, next := j.Bounds()
	o.Messages, o.Bytes = next-first, uint64(max(j.cfg.Log.Size(), 0))
	gaps, err := j.Gaps(ctx)
	if err != nil {
		return o, fmt.Errorf("inspect the journal: %w", err)
	}
	for _, g := range gaps {
		if from := max(g.First, first); from <= g.Last {
			o.Messages -= min(g.Last-from+1, o.Messages)
		}
	}
	for size := uint64(readBatch); ; size *= 4 { // from the end on, in growing parts
		from := first
		if next > first+size {
			from = next - size
		}
		for r, err := range scan(ctx, j, from, next) {
			if err != nil {
				return o, fmt.Errorf("find the newest event of the journal: %w", err)
			}
			if r.Kind == Treat && isEvent(&r.Entry) {
				o.Newest, o.Recorded = r.Delivery(), r.Time
			}
		}
		if o.Newest.ID != "" || from == first {
			return o, nil
		}
		next = from
	}
}

// lastAttempt fills in what the log of attempts says.
func (j *Journal) lastAttempt(ctx context.Context, s *SinkStatus) error {
	if j.cfg.Attempts == nil {
		return nil
	}
	attempts, err := lastAttempts(ctx, j.cfg.Attempts, s.Sink)
	if err != nil {
		return fmt.Errorf("read the last attempt of sink %s: %w", s.Sink, err)
	}
	for _, a := range attempts {
		a.Events = nil // there may be hundreds
		s.LastAttempt = &a
		if a.Error == "" {
			s.LastDelivery = a.Time.Add(a.Latency)
		}
	}
	return nil
}
