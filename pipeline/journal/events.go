package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// EventFilter chooses events of the journal. What is empty or zero does not matter.
type EventFilter struct {
	Accounts []string
	IDs      []string
	// Origins chooses by origin. Replays, and test events for one sink only, are yielded only if it names them.
	Origins []pipeline.Origin
	Since   time.Time // of the event's own time
	Until   time.Time // exclusive
	After   uint64    // only events with a greater number in the journal,
	Last    uint64    // and none with a greater one than this
}

// A JournaledEvent is an event as the journal holds it. Event, a method of the record, decodes the rest of it.
type JournaledEvent struct {
	pipeline.Record
	Time      time.Time // the event's own
	Journaled time.Time
}

// Events yields the events that match, in the order in which they were journaled, up to the newest at the time of the call. An
// error is the last thing it yields. It holds few of them at a time.
func (j *Journal) Events(ctx context.Context, f EventFilter) iter.Seq2[JournaledEvent, error] {
	return func(yield func(JournaledEvent, error) bool) {
		from, until, err := j.eventRange(ctx, &f)
		if err != nil {
			yield(JournaledEvent{}, fmt.Errorf("read the events of the journal: %w", err))
			return
		}
		for r, err := range scan(ctx, j, from, until) {
			if err != nil {
				yield(JournaledEvent{}, fmt.Errorf("read the events of the journal: %w", err))
				return
			}
			if !f.takes(&r.Entry) {
				continue
			}
			e, err := journaledEvent(r)
			if err != nil {
				yield(JournaledEvent{}, err)
				return
			}
			if e.Time.Before(f.Since) || !f.Until.IsZero() && !e.Time.Before(f.Until) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// eventRange is where in the journal to look for the filter.
func (j *Journal) eventRange(ctx context.Context, f *EventFilter) (from, until uint64, err error) {
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
	case !since.IsZero(): // an event is journaled after its own time, unless a clock or a zone is wrong
		from, err = j.SeekTime(ctx, since.Add(-wrongZone))
	}
	return max(from, first), until, err
}

// takes reports whether the filter takes an entry, whatever its time.
func (f *EventFilter) takes(e *Entry) bool {
	id := e.ID
	switch {
	case !isEvent(e):
		return false
	case e.Kind == Treat, e.Kind == Import:
	case e.Kind == Resend && e.Ref == 0: // what is redriven was replayed or tested before
		id = e.EventID
		if e.Origin != pipeline.OriginReplay && e.Origin != pipeline.OriginTest || len(f.Origins) == 0 {
			return false
		}
	default:
		return false
	}
	return (len(f.Accounts) == 0 || slices.Contains(f.Accounts, e.Account)) &&
		(len(f.Origins) == 0 || slices.Contains(f.Origins, e.Origin)) && (len(f.IDs) == 0 || slices.Contains(f.IDs, id))
}

func journaledEvent(r *Record) (JournaledEvent, error) {
	at, err := eventTime(r.Data)
	if err != nil {
		return JournaledEvent{}, fmt.Errorf("decode journaled event %s: %w", r.ID, err)
	}
	return JournaledEvent{Record: r.Delivery(), Time: at, Journaled: r.Time}, nil
}

// eventTime is the time in an event's line.
func eventTime(line []byte) (time.Time, error) {
	if from, to, ok := plainMember(line, `,"time":"`); ok {
		if at, err := time.Parse(time.RFC3339Nano, string(line[from:to])); err == nil {
			return at, nil
		}
	}
	var e struct {
		Time time.Time `json:"time"`
	}
	err := json.Unmarshal(line, &e)
	return e.Time, err
}

// plainMember says where the text of a member is in the object that a line is, if it is plain and no other object is before it, as
// in the lines that relay makes. Its key is given as it stands in such a line.
func plainMember(line []byte, key string) (from, to int, ok bool) {
	at := bytes.Index(line, []byte(key))
	if at < 0 || bytes.LastIndexByte(line[:at], '{') != 0 {
		return 0, 0, false
	}
	from = at + len(key)
	size := bytes.IndexAny(line[from:], `"\`)
	if size < 0 || line[from+size] != '"' {
		return 0, 0, false
	}
	return from, from + size, true
}

// replayID begins the id of an entry that replays an event; the run, the sink and the event's number follow.
const replayID = "resend_replay_"

// Replay puts journaled events before one sink again, in their order and after everything that is journaled already: with their ids and
// times, and as ones of the origin replay. Called again with the same run soon, whatever came of the call before, it
// does so once. There may be [MaxBatch] at most. It returns how many of them, from the first on, are on disk.
func (j *Journal) Replay(ctx context.Context, sink, run string, records ...pipeline.Record) (int, error) {
	entries := make([]Entry, len(records))
	for i := range records {
		r := records[i]
		line, err := asReplay(r.Line)
		if err != nil {
			return 0, fmt.Errorf("replay event %s: %w", r.ID, err)
		}
		r.Line, r.Origin = line, pipeline.OriginReplay
		entries[i] = resendEntry(sink, &r, replayID+run+"_"+sink+"_"+strconv.FormatUint(r.Seq, 10))
	}
	numbers, err := j.Put(ctx, entries...)
	if err == nil {
		return len(numbers), nil
	}
	done := 0
	for done < len(numbers) && numbers[done] > 0 {
		done++
	}
	return done, fmt.Errorf("replay events to sink %s: %w", sink, err)
}

var errNoOrigin = errors.New("it has no origin")

// asReplay returns the line of an event with the origin replay, and not a byte of it changed beside that.
func asReplay(line []byte) ([]byte, error) {
	if from, to, ok := plainMember(line, `,"origin":"`); ok {
		return slices.Concat(line[:from], []byte(pipeline.OriginReplay), line[to:]), nil
	}
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
			return slices.Concat(line[:end-len(value)], strconv.AppendQuote(nil, string(pipeline.OriginReplay)), line[end:]), nil
		}
	}
	return nil, errNoOrigin
}
