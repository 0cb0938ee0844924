package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// pathReplay is where a relay that runs is asked to replay events to one of its sinks itself, instead of handing them to the command and back.
const pathReplay = "/v1/replay"

// replayOrder asks for a part of a replay.
type replayOrder struct {
	Sink   string            `json:"sink"`
	Run    string            `json:"run"`
	Filter query.EventFilter `json:"filter"`
}

// replayPart is what came of it.
type replayPart struct {
	Sent   int       `json:"sent"`
	Done   uint64    `json:"done"`   // the number of the last event that was sent, 0 if none was
	Latest time.Time `json:"latest"` // the time of that event
	More   bool      `json:"more"`   // there may be more behind it
}

// replayPartTime is how long a part takes at most, so that a command can show how far it has come.
const replayPartTime = 500 * time.Millisecond

// serveReplay sends events to a sink again until that has taken [replayPartTime], or there are no more.
func serveReplay(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	var order replayOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&order); err != nil {
		return fmt.Errorf("%w: %w", errBadEntries, err)
	}
	part, err := replayFor(r.Context(), j, &order)
	if err != nil {
		return err
	}
	return answerJSON(w, part)
}

func replayFor(ctx context.Context, j *journal.Journal, order *replayOrder) (part replayPart, err error) {
	began := time.Now()
	var waiting []pipeline.Record
	var latest time.Time
	flush := func() error {
		n, err := j.Replay(ctx, order.Sink, order.Run, waiting...)
		if n > 0 {
			part.Sent, part.Done, part.Latest = part.Sent+n, waiting[n-1].Seq, latest
		}
		waiting = waiting[:0]
		return err
	}
	for e, err := range query.Events(ctx, j, order.Filter) {
		if err != nil {
			return part, err
		}
		if waiting, latest = append(waiting, e.Record), e.Time; len(waiting) < replayBatch {
			continue
		}
		if err := flush(); err != nil {
			return part, err
		}
		if time.Since(began) > replayPartTime {
			part.More = true
			return part, nil
		}
	}
	if len(waiting) > 0 {
		err = flush()
	}
	return part, err
}

// replay asks the relay for a part of a replay.
func (r *remote) replay(ctx context.Context, order *replayOrder) (part replayPart, err error) {
	body, err := json.Marshal(order)
	if err != nil {
		return part, err
	}
	answer, _, err := r.ask(ctx, http.MethodPost, pathReplay, body)
	if err == nil {
		err = json.Unmarshal(answer, &part)
	}
	return part, err
}

// runBeside has the relay that runs send the events, part by part.
func (r *replay) runBeside(ctx context.Context, beside *remote) error {
	order := replayOrder{Sink: r.sink, Run: r.at.run, Filter: r.filter}
	for {
		part, err := beside.replay(ctx, &order)
		if err != nil {
			return err
		}
		if part.Sent > 0 {
			r.n, r.at.done, order.Filter.After = r.n+part.Sent, part.Done, part.Done
			if err := r.progress.show(r.n, part.Latest); err != nil {
				return err
			}
		}
		if !part.More {
			return nil
		}
	}
}
