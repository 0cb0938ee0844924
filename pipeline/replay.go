package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// EventFilter chooses events of the journal. What is empty or zero does not matter.
type EventFilter struct {
	Accounts []string
	IDs      []string
	// Origins chooses by origin. Replays, and test events for one sink only, are yielded only if it names them.
	Origins []Origin
	Since   time.Time // of the event's own time
	Until   time.Time // exclusive
	After   uint64    // only events with a greater number in the journal,
	Last    uint64    // and none with a greater one than this
}

// A JournaledEvent is an event as it lies in the journal, decoded.
type JournaledEvent struct {
	Record
	Event Event
}

// Events yields the events that match, in the order in which they were journaled, up to the newest at the time of the call. An
// error is the last thing it yields. It holds few of them at a time.
func (j *Journal) Events(ctx context.Context, f EventFilter) iter.Seq2[JournaledEvent, error] {
	return func(yield func(JournaledEvent, error) bool) {
		for msg, err := range j.scan(ctx, JournalStream, f.consumer()) {
			if err != nil {
				yield(JournaledEvent{}, fmt.Errorf("read the events of the journal: %w", err))
				return
			}
			if f.Last > 0 && msg.Seq > f.Last {
				return
			}
			again := strings.HasPrefix(msg.Subject, resendSubject)
			if again && strings.HasPrefix(msg.Header.Get(jetstream.MsgIDHeader), redriveID) {
				continue // it was replayed or tested before
			}
			e := JournaledEvent{Record: recordOf(msg.Seq, msg.Subject, msg.Header, msg.Data)}
			if e.Type != EventType || len(f.Origins) > 0 && !slices.Contains(f.Origins, e.Origin) || len(f.IDs) > 0 && !slices.Contains(f.IDs, e.ID) {
				continue
			}
			if e.Event, err = e.Record.Event(); err != nil {
				yield(JournaledEvent{}, err)
				return
			}
			if e.Event.Time.Before(f.Since) || !f.Until.IsZero() && !e.Event.Time.Before(f.Until) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// consumer is where and what to read for the filter.
func (f *EventFilter) consumer() (cfg jetstream.ConsumerConfig) {
	accounts := []string{"*"}
	if len(f.Accounts) > 0 {
		accounts = slices.Compact(slices.Sorted(slices.Values(f.Accounts)))
	}
	for _, a := range accounts {
		cfg.FilterSubjects = append(cfg.FilterSubjects, journalSubject+a)
		if slices.Contains(f.Origins, OriginReplay) || slices.Contains(f.Origins, OriginTest) {
			cfg.FilterSubjects = append(cfg.FilterSubjects, resendSubject+"*."+a)
		}
	}
	from := f.Since
	if from.IsZero() && len(f.IDs) > 0 {
		for i, id := range f.IDs {
			at, ok := TimeOfID(id)
			if !ok {
				from = time.Time{}
				break
			}
			if i == 0 || at.Before(from) {
				from = at
			}
		}
	}
	switch {
	case f.After > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.After+1
	case !from.IsZero(): // an event is journaled after its own time, unless a clock or a zone is wrong
		from = from.Add(-wrongZone)
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
	}
	return cfg
}

// LastNumber is the number of the newest message of the journal, whatever it is; 0 if there was none.
func (j *Journal) LastNumber(ctx context.Context) (uint64, error) {
	stream, err := j.js.Stream(ctx, JournalStream)
	if err != nil {
		return 0, fmt.Errorf("look into the journal: %w", err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// replayID begins the id of a message that replays an event; the run, the sink and the event's number follow.
const replayID = "resend_replay_"

// Replay puts journaled events before one sink again, in their order and after everything that is journaled already: with their ids and
// times, and as ones of the origin replay. Called again with the same run within [DedupWindow], whatever came of the call before, it
// does so once. There may be [MaxBatch] at most. It returns how many of them, from the first on, are on disk.
func (j *Journal) Replay(ctx context.Context, sink, run string, records ...Record) (int, error) {
	msgs := make([]*nats.Msg, len(records))
	for i, r := range records {
		line, err := asReplay(r.Line)
		if err != nil {
			return 0, fmt.Errorf("replay event %s: %w", r.ID, err)
		}
		r.Line, r.Origin = line, OriginReplay
		msgs[i] = resend(sink, r, replayID+run+"_"+sink+"_"+strconv.FormatUint(r.Seq, 10))
	}
	if j.atomic && len(msgs) >= firstBatchFrom {
		err := j.publishBatch(ctx, msgs)
		if err == nil {
			return len(msgs), nil
		}
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused {
			return 0, fmt.Errorf("replay events to sink %s: %w", sink, err)
		}
		// Most often for one that was sent before: which, shows one by one.
	}
	for i, msg := range msgs {
		if _, err := j.publish(ctx, msg); err != nil {
			return i, fmt.Errorf("replay event %s to sink %s: %w", msg.Header.Get(headerID), sink, err)
		}
	}
	return len(msgs), nil
}

var errNoOrigin = errors.New("it has no origin")

// asReplay returns the line of an event with the origin replay, and not a byte of it changed beside that.
func asReplay(line []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(errNoOrigin, err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if key == "origin" {
			end := int(dec.InputOffset())
			return slices.Concat(line[:end-len(value)], strconv.AppendQuote(nil, string(OriginReplay)), line[end:]), nil
		}
	}
	return nil, errNoOrigin
}
