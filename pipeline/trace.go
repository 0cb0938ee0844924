package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Trace is the way of one event, as far as the journal and the log of attempts know it.
type Trace struct {
	Event     Record    // its Seq is 0 if the journal does not hold it any more
	Journaled time.Time // zero likewise
	Steps     []Step    // in the order of time
}

// Step is one thing that happened to an event after it was journaled. One of Attempt, DeadLetter and Resent is set.
type Step struct {
	Time       time.Time
	Sink       string
	Attempt    *Attempt
	DeadLetter *DeadLetter // which still exists
	Resent     *Resent
}

// Resent is a message that put an event before one sink, see [Journal.Resend].
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
	if strings.HasPrefix(id, digestIDPrefix) {
		find = j.findDigest
	}
	if t.Event, t.Journaled, err = find(ctx, id); err != nil {
		return nil, err
	}
	since := t.Journaled
	if at, ok := TimeOfID(id); since.IsZero() && ok {
		since = at.Add(-wrongZone)
	}
	for a, err := range j.Attempts(ctx, id, since) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: a.Time, Sink: a.Sink, Attempt: &a})
	}
	for d, err := range j.DeadLetters(ctx, DeadLetterFilter{IDs: []string{id}, Since: since}) {
		if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, Step{Time: d.Time, Sink: d.Sink, DeadLetter: &d})
	}
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{resendSubject + "*.*"}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	for msg, err := range j.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return nil, fmt.Errorf("look for event %s among those sent again: %w", id, err)
		}
		if msg.Header.Get(headerID) != id {
			continue
		}
		sink, _, _ := strings.Cut(strings.TrimPrefix(msg.Subject, resendSubject), ".")
		if t.Event.Seq == 0 && Origin(msg.Header.Get(headerOrigin)) == OriginTest { // it is for that sink only
			if t.Event, t.Journaled, err = j.eventAt(ctx, msg.Seq); err != nil {
				return nil, err
			}
			continue
		}
		msgID := msg.Header.Get(jetstream.MsgIDHeader)
		resent := &Resent{Seq: msg.Seq, Replay: strings.HasPrefix(msgID, replayID)}
		if number, ok := strings.CutPrefix(msgID, redriveID); ok {
			resent.DeadLetter, _ = strconv.ParseUint(number, 10, 64) // 0 if somebody else made it
		}
		t.Steps = append(t.Steps, Step{Time: msg.Time, Sink: sink, Resent: resent})
	}
	if t.Event.Seq == 0 && len(t.Steps) == 0 {
		return nil, fmt.Errorf("%w %s: neither the journal nor the log of attempts has it", ErrUnknownEvent, id)
	}
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return t, nil
}

// findEvent finds an event in the journal: first where the time in its id says, then from a day before on, as for one that
// came late, and then everywhere. The record is empty if there is none.
func (j *Journal) findEvent(ctx context.Context, id string) (r Record, at time.Time, err error) {
	type span struct{ from, until time.Time }
	spans := []span{{}}
	if at, ok := TimeOfID(id); ok {
		spans = []span{
			{at.Add(-usualSkew), at.Add(usualDelay)}, {from: at.Add(-wrongZone)}, {until: at.Add(-wrongZone)},
		}
	}
	for _, s := range spans {
		cfg := jetstream.ConsumerConfig{FilterSubjects: []string{journalSubject + "*"}, HeadersOnly: true}
		if !s.from.IsZero() {
			cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.from
		}
		for msg, err := range j.scan(ctx, JournalStream, cfg) {
			if err != nil {
				return r, at, fmt.Errorf("look for event %s in the journal: %w", id, err)
			}
			if !s.until.IsZero() && msg.Time.After(s.until) {
				break
			}
			if msg.Header.Get(jetstream.MsgIDHeader) == id {
				return j.eventAt(ctx, msg.Seq)
			}
		}
	}
	return Record{ID: id}, time.Time{}, nil
}

// findDigest finds the mark that a digest is made of. The record has no line, for each sink has its own.
func (j *Journal) findDigest(ctx context.Context, id string) (r Record, at time.Time, err error) {
	r = Record{ID: id}
	made, ok := TimeOfID(id)
	if !ok {
		return r, at, nil
	}
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return r, at, fmt.Errorf("look into the journal: %w", err)
	}
	var sinks []string
	lanes := stream.ConsumerNames(ctx)
	for lane := range lanes.Name() {
		if sink, ok := strings.CutPrefix(lane, lanePrefix); ok {
			sinks = append(sinks, sink)
		}
	}
	if lanes.Err() != nil {
		return r, at, fmt.Errorf("list the lanes in the journal: %w", lanes.Err())
	}
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{healSubject + "*"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &made,
	}
	for msg, err := range j.scan(ctx, JournalStream, cfg) {
		if err != nil {
			return r, at, fmt.Errorf("look for digest %s in the journal: %w", id, err)
		}
		if msg.Time.After(made.Add(time.Millisecond)) {
			break
		}
		var m healMark
		if json.Unmarshal(msg.Data, &m) != nil {
			continue // a lane tells of it
		}
		if slices.ContainsFunc(sinks, func(sink string) bool { return digestID(msg.Time, sink, m) == id }) {
			r.Seq, r.Account, r.Provider, r.Origin, r.Type = msg.Seq, m.Account, m.Provider, OriginBackfill, DigestType
			return r, msg.Time, nil
		}
	}
	return r, at, nil
}

// eventAt reads one message of the journal.
func (j *Journal) eventAt(ctx context.Context, seq uint64) (Record, time.Time, error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return Record{}, time.Time{}, fmt.Errorf("look into the journal: %w", err)
	}
	msg, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Record{}, time.Time{}, ErrEventGone
	}
	if err != nil {
		return Record{}, time.Time{}, fmt.Errorf("read message %d of the journal: %w", seq, err)
	}
	return recordOf(msg.Sequence, msg.Subject, msg.Header, msg.Data), msg.Time, nil
}
