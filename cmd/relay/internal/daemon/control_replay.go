package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// replayPartTime is how long a part takes at most, so that a command can show how far it has come.
const replayPartTime = 500 * time.Millisecond

// serveReplay sends events to a sink again until that has taken [replayPartTime], or there are no more.
func serveReplay(w http.ResponseWriter, r *http.Request, j *journal.Journal) error {
	var order api.ReplayOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&order); err != nil {
		return fmt.Errorf("%w: %w", api.ErrBadEntries, err)
	}
	part, err := replayFor(r.Context(), j, &order)
	if err != nil {
		return err
	}
	return answerJSON(w, part)
}

func replayFor(ctx context.Context, j *journal.Journal, order *api.ReplayOrder) (part api.ReplayPart, err error) {
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
		if waiting, latest = append(waiting, e.Record), e.Time; len(waiting) < journal.MaxBatch {
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
