package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Trace is the way of one event, as far as the journal and the log of attempts know it.
type Trace struct {
	Event     pipeline.Record // its Seq is 0 if the journal does not hold it any more
	Journaled time.Time       // zero likewise
	Steps     []Step          // in the order of time
}

// Step is one thing that happened to an event after it was journaled. One of Attempt, DeadLetter and Resent is set.
type Step struct {
	Time       time.Time
	Sink       string
	Attempt    *pipeline.Attempt
	DeadLetter *DeadLetter // which still exists
	Resent     *Resent
}

// Resent is an entry that put an event before one sink, see [Journal.Resend].
type Resent struct {
	Seq        uint64
	DeadLetter uint64 // the number of the one that was redriven, 0 if it was not that
	Replay     bool
}

// ErrUnknownEvent says that neither the journal nor the log of attempts knows an id.
var ErrUnknownEvent = errors.New("unknown event")

// How far the time in an event's id, that of the treat, may be from the time of its receipt.
const (
	usualDelay = 10 * time.Minute
	usualSkew  = time.Minute
	wrongZone  = 15 * time.Hour // a zone that is set wrong makes treats come from the future
)

// Trace follows the event of an id. The error is an [ErrUnknownEvent] if there is no trace of it.
func (j *Journal) Trace(ctx context.Context, id string) (*Trace, error) {
	t := &Trace{}
	var err error
	find := j.findEvent
	if strings.HasPrefix(id, DigestIDPrefix) {
		find = j.findDigest
	}
	if t.Event, t.Journaled, err = find(ctx, id); err != nil {
		return nil, fmt.Errorf("look for event %s in the journal: %w", id, err)
	}
	since := t.Journaled
	if at, ok := pipeline.TimeOfID(id); since.IsZero() && ok {
		since = at.Add(-wrongZone)
	}
	for a, err := range j.Attempts(ctx, id, since) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: a.Time, Sink: a.Sink, Attempt: &a})
	}
	for d, err := range j.DeadLetters(ctx, DeadLetterFilter{IDs: []string{id}}) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: d.Time, Sink: d.Sink, DeadLetter: &d})
	}
	if err := j.traceResent(ctx, t, id, since); err != nil {
		return nil, fmt.Errorf("look for event %s among those sent again: %w", id, err)
	}
	if t.Event.Seq == 0 && len(t.Steps) == 0 {
		return nil, fmt.Errorf("%w %s: neither the journal nor the log of attempts has it", ErrUnknownEvent, id)
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return t, nil
}

// traceResent adds what put the event before one sink.
func (j *Journal) traceResent(ctx context.Context, t *Trace, id string, since time.Time) error {
	from, err := j.SeekTime(ctx, since)
	if err != nil {
		return err
	}
	_, next := j.Bounds()
	for r, err := range scan(ctx, j, from, next) {
		switch {
		case err != nil:
			return err
		case r.Kind != Resend || r.EventID != id:
		case t.Event.Seq == 0 && r.Origin == pipeline.OriginTest: // it is for that sink only
			t.Event, t.Journaled = r.Delivery(), r.Time
		default:
			t.Steps = append(t.Steps, Step{
				Time: r.Time, Sink: r.Sink, Resent: &Resent{Seq: r.Number, DeadLetter: r.Ref, Replay: strings.HasPrefix(r.ID, replayID)},
			})
		}
	}
	return nil
}

// findEvent finds an event in the journal: first where the time in its id says, then from a day before on, as for one that
// came late, and then everywhere. The record is empty if there is none.
func (j *Journal) findEvent(ctx context.Context, id string) (r pipeline.Record, at time.Time, err error) {
	type span struct{ from, until time.Time }
	spans := []span{{}}
	if at, ok := pipeline.TimeOfID(id); ok {
		spans = []span{
			{at.Add(-usualSkew), at.Add(usualDelay)}, {from: at.Add(-wrongZone)}, {until: at.Add(-wrongZone)},
		}
	}
	for _, s := range spans {
		from, until := j.Bounds()
		if !s.from.IsZero() {
			if from, err = j.SeekTime(ctx, s.from); err != nil {
				return r, at, err
			}
		}
		for one, err := range scan(ctx, j, from, until) {
			if err != nil {
				return r, at, err
			}
			if !s.until.IsZero() && one.Time.After(s.until) {
				break
			}
			if (one.Kind == Treat || one.Kind == Import) && one.ID == id {
				return one.Delivery(), one.Time, nil
			}
		}
	}
	return pipeline.Record{ID: id}, time.Time{}, nil
}

// findDigest finds the [HealMark] that a digest is made of. The record has no line, for each sink has its own.
func (j *Journal) findDigest(ctx context.Context, id string) (r pipeline.Record, at time.Time, err error) {
	r = pipeline.Record{ID: id}
	made, ok := pipeline.TimeOfID(id)
	if !ok {
		return r, at, nil
	}
	cursors, err := j.cursors(ctx)
	if err != nil {
		return r, at, err
	}
	from, err := j.SeekTime(ctx, made)
	if err != nil {
		return r, at, err
	}
	_, next := j.Bounds()
	for one, err := range scan(ctx, j, from, next) {
		if err != nil {
			return r, at, err
		}
		if one.Time.After(made.Add(time.Millisecond)) {
			break
		}
		var m HealMark
		if one.Kind != Heal || json.Unmarshal(one.Data, &m) != nil {
			continue
		}
		for sink := range cursors {
			if DigestID(one.Time, sink, m) == id {
				r.Seq, r.Account, r.Provider, r.Origin, r.Type = one.Number, m.Account, m.Provider, pipeline.OriginBackfill, pipeline.DigestType
				return r, one.Time, nil
			}
		}
	}
	return r, at, nil
}
