// Package query answers questions about a journal: which events it holds, what happened to one, and how far the sinks
// are. It only reads. All functions are safe for concurrent use, also while another process writes the journal.
//
// Start reading at [Events], [Find] and [Sinks].
package query

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// EventFilter selects events of the journal. An empty or zero field selects all.
type EventFilter struct {
	Accounts []string
	IDs      []string
	// Origins selects by origin. Replays, and tests for a single sink, are yielded only if Origins names their origin.
	Origins []pipeline.Origin
	Types   []string
	// Text selects the treats whose sender, title or message contains it, whatever the case of its letters and however
	// they are composed.
	Text  string
	Since time.Time // by the event's own time, inclusive
	Until time.Time // exclusive
	After uint64    // by the number in the journal, exclusive
	Last  uint64    // inclusive
}

// Event is an event that the journal holds. The method Event of its record decodes the line.
type Event struct {
	pipeline.Record
	Time      time.Time // the time of the event itself
	Journaled time.Time // when it was written to the journal
}

// Events yields the matching events in the order of the journal, up to the newest one at the time of the call. An error ends
// the sequence. It reads the journal in batches, so memory stays bounded.
func Events(ctx context.Context, j *journal.Journal, f EventFilter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		from, until, err := eventRange(ctx, j, &f)
		if err != nil {
			yield(Event{}, fmt.Errorf("read the events of the journal: %w", err))
			return
		}
		for e, err := range f.scan(ctx, j, from, until) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// scan yields the matching events with numbers from from up to, but not including, until.
func (f *EventFilter) scan(ctx context.Context, j *journal.Journal, from, until uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		contains := newTextFilter(f.Text)
		for r, err := range journal.Scan(ctx, j, from, until) {
			if err != nil {
				yield(Event{}, fmt.Errorf("read the events of the journal: %w", err))
				return
			}
			if !f.takes(&r.Entry) {
				continue
			}
			e, err := journaledEvent(r)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if e.Time.Before(f.Since) || !f.Until.IsZero() && !e.Time.Before(f.Until) || !contains.matches(&e.Record) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// eventRange returns the numbers in the journal between which matching events can be.
func eventRange(ctx context.Context, j *journal.Journal, f *EventFilter) (from, until uint64, err error) {
	first, next := j.Bounds()
	until = next
	if f.Last > 0 {
		until = min(until, f.Last+1)
	}
	since := f.Since
	if since.IsZero() && len(f.IDs) > 0 {
		for i, id := range f.IDs {
			at, ok := pipeline.TimeOfID(id)
			if !ok {
				since = time.Time{}
				break
			}
			if i == 0 || at.Before(since) {
				since = at
			}
		}
	}
	switch {
	case f.After > 0:
		from = f.After + 1
	case !since.IsZero(): // an event is journaled after its own time, unless a clock or time zone is wrong
		from, err = j.SeekTime(ctx, since.Add(-wrongZone))
	}
	return max(from, first), until, err
}

// takes reports whether an entry matches, apart from its time.
func (f *EventFilter) takes(e *journal.Entry) bool {
	id := e.ID
	switch {
	case !e.IsEvent():
		return false
	case e.Kind == journal.Treat, e.Kind == journal.Import:
	case e.Kind == journal.Resend && e.Ref == 0: // not a redrive: its event has an entry already
		id = e.EventID
		if e.Origin != pipeline.OriginReplay && e.Origin != pipeline.OriginTest || len(f.Origins) == 0 {
			return false
		}
	default:
		return false
	}
	return (len(f.Accounts) == 0 || slices.Contains(f.Accounts, e.Account)) &&
		(len(f.Origins) == 0 || slices.Contains(f.Origins, e.Origin)) && (len(f.IDs) == 0 || slices.Contains(f.IDs, id)) &&
		ofType(f.Types, e)
}

// ofType reports whether an entry holds an event of one of the types; none stand for all.
func ofType(types []string, e *journal.Entry) bool {
	return len(types) == 0 || slices.Contains(types, cmp.Or(e.Type, pipeline.EventType))
}

func journaledEvent(r *journal.Record) (Event, error) {
	at, err := journal.EventTime(r.Data)
	if err != nil {
		return Event{}, fmt.Errorf("decode journaled event %s: %w", r.ID, err)
	}
	return Event{Record: r.Delivery(), Time: at, Journaled: r.Time}, nil
}
