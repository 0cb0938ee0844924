package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/query"
)

// PathReplay is where a relay that runs is asked to replay events to one of its sinks itself, instead of handing them to the command and back.
const PathReplay = "/v1/replay"

// ReplayOrder asks for a part of a replay.
type ReplayOrder struct {
	Sink   string            `json:"sink"`
	Run    string            `json:"run"`
	Filter query.EventFilter `json:"filter"`
}

// ReplayPart is what came of it.
type ReplayPart struct {
	Sent   int       `json:"sent"`
	Done   uint64    `json:"done"`   // the number of the last event that was sent, 0 if none was
	Latest time.Time `json:"latest"` // the time of that event
	More   bool      `json:"more"`   // there may be more behind it
}

// Replay asks the relay for a part of a replay.
func (r *Journal) Replay(ctx context.Context, order *ReplayOrder) (part ReplayPart, err error) {
	body, err := json.Marshal(order)
	if err != nil {
		return part, err
	}
	answer, _, err := r.ask(ctx, http.MethodPost, PathReplay, body)
	if err == nil {
		err = json.Unmarshal(answer, &part)
	}
	return part, err
}
