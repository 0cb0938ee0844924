package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Trace is the history of one event: when it was journaled, and what happened to it at each sink.
type Trace struct {
	Event     pipeline.Record // Seq is 0 if the journal no longer holds the event
	Journaled time.Time       // zero if the journal no longer holds the event
	Steps     []Step          // by time
}

// Step is something that happened to an event after it was journaled. Exactly one of Attempt, DeadLetter and Resent is set.
type Step struct {
	Time       time.Time
	Sink       string
	Attempt    *pipeline.Attempt
	DeadLetter *journal.DeadLetter // one that still exists
	Resent     *Resent
}

// Resent is an entry that sends an event to one sink again, see [journal.Journal.Resend].
type Resent struct {
	Seq        uint64
	DeadLetter uint64 // the number of the redriven dead letter; 0: it is not a redrive
	Replay     bool
}

// ErrUnknownEvent means that neither the journal nor the log of attempts has an event of that id.
var ErrUnknownEvent = errors.New("unknown event")

// How far the time in an event's id, which is the time of the treat, may be from the time of journaling.
const (
	usualDelay = 10 * time.Minute
	usualSkew  = time.Minute
	wrongZone  = 15 * time.Hour // with a wrong time zone, treats seem to come from the future
)

// Find returns the history of the event with that id. If nothing is known of it, the error is [ErrUnknownEvent].
func Find(ctx context.Context, j *journal.Journal, id string) (*Trace, error) {
	t := &Trace{}
	var err error
	find := findEvent
	if strings.HasPrefix(id, journal.DigestIDPrefix) {
		find = findDigest
	}
	if t.Event, t.Journaled, err = find(ctx, j, id); err != nil {
		return nil, fmt.Errorf("find event %s in the journal: %w", id, err)
	}
	since := t.Journaled
	if at, ok := pipeline.TimeOfID(id); since.IsZero() && ok {
		since = at.Add(-wrongZone)
	}
	for a, err := range j.Attempts().Of(ctx, id, since) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: a.Time, Sink: a.Sink, Attempt: &a})
	}
	for d, err := range j.DeadLetters(ctx, journal.DeadLetterFilter{IDs: []string{id}}) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: d.Time, Sink: d.Sink, DeadLetter: &d})
	}
	if err := traceResent(ctx, j, t, id, since); err != nil {
		return nil, fmt.Errorf("find event %s among those sent again: %w", id, err)
	}
	if t.Event.Seq == 0 && len(t.Steps) == 0 {
		return nil, fmt.Errorf("%w %s: neither the journal nor the log of attempts has it", ErrUnknownEvent, id)
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return t, nil
}

// traceResent adds the entries that send the event to one sink again.
func traceResent(ctx context.Context, j *journal.Journal, t *Trace, id string, since time.Time) error {
	from, err := j.SeekTime(ctx, since)
	if err != nil {
		return err
	}
	_, next := j.Bounds()
	for r, err := range journal.Scan(ctx, j, from, next) {
		switch {
		case err != nil:
			return err
		case r.Kind != journal.Resend || r.EventID != id:
		case t.Event.Seq == 0 && r.Origin == pipeline.OriginTest: // a test for that sink only
			t.Event, t.Journaled = r.Delivery(), r.Time
		default:
			t.Steps = append(t.Steps, Step{
				Time: r.Time, Sink: r.Sink, Resent: &Resent{Seq: r.Number, DeadLetter: r.Ref, Replay: r.IsReplay()},
			})
		}
	}
	return nil
}

// findEvent finds an event in the journal. It first reads around the time in the id, then everything later, for an event
// that came late, and then everything earlier. If there is none, the record has only the id.
func findEvent(ctx context.Context, j *journal.Journal, id string) (r pipeline.Record, at time.Time, err error) {
	type period struct{ from, until time.Time }
	periods := []period{{}}
	if at, ok := pipeline.TimeOfID(id); ok {
		periods = []period{
			{at.Add(-usualSkew), at.Add(usualDelay)}, {from: at.Add(-wrongZone)}, {until: at.Add(-wrongZone)},
		}
	}
	for _, s := range periods {
		from, until := j.Bounds()
		if !s.from.IsZero() {
			if from, err = j.SeekTime(ctx, s.from); err != nil {
				return r, at, err
			}
		}
		for one, err := range journal.Scan(ctx, j, from, until) {
			if err != nil {
				return r, at, err
			}
			if !s.until.IsZero() && one.Time.After(s.until) {
				break
			}
			if (one.Kind == journal.Treat || one.Kind == journal.Import) && one.ID == id {
				return one.Delivery(), one.Time, nil
			}
		}
	}
	return pipeline.Record{ID: id}, time.Time{}, nil
}

// findDigest finds the entry that a digest is made from. The record has no line, since each sink gets a digest of its own.
func findDigest(ctx context.Context, j *journal.Journal, id string) (r pipeline.Record, at time.Time, err error) {
	r = pipeline.Record{ID: id}
	made, ok := pipeline.TimeOfID(id)
	if !ok {
		return r, at, nil
	}
	cursors, err := j.Cursors(ctx)
	if err != nil {
		return r, at, err
	}
	from, err := j.SeekTime(ctx, made)
	if err != nil {
		return r, at, err
	}
	_, next := j.Bounds()
	for one, err := range journal.Scan(ctx, j, from, next) {
		if err != nil {
			return r, at, err
		}
		if one.Time.After(made.Add(time.Millisecond)) {
			break
		}
		var m journal.BackfillBatch
		if one.Kind != journal.Backfill || json.Unmarshal(one.Data, &m) != nil {
			continue
		}
		for sink := range cursors {
			if journal.DigestID(one.Time, sink, m) == id {
				r.Seq, r.Account, r.Provider, r.Origin, r.Type = one.Number, m.Account, m.Provider, pipeline.OriginBackfill, pipeline.DigestType
				return r, one.Time, nil
			}
		}
	}
	return r, at, nil
}
