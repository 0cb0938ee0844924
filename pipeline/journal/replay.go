package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// EventTime returns the time in an event's line.
func EventTime(line []byte) (time.Time, error) {
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

// plainMember returns the range of a string value in a JSON object. It finds only a string without escapes that no nested
// object precedes, as in the lines that relay makes. The key includes the surrounding punctuation.
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

// replayID is the prefix of the id of an entry that replays an event. The run, the sink and the event's number follow.
const replayID = "resend_replay_"

// Replay sends journaled events to one sink again, in the given order and after everything journaled so far. The events keep
// their ids and times and get the origin replay. It takes at most [MaxBatch] records, and returns how many of them, from the
// front, are on disk. A call that is repeated soon with the same run, after an error for instance, replays nothing twice.
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

var errNoOrigin = errors.New("the event has no origin")

// asReplay returns the line of an event with its origin set to replay, and every other byte unchanged.
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

// IsReplay reports whether a Resend replays an event.
func (e *Entry) IsReplay() bool { return e.Kind == Resend && strings.HasPrefix(e.ID, replayID) }
