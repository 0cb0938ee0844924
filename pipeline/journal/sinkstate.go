package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// SinkState is the state of a sink as a whole, across restarts. A zero time means that the condition does not hold.
type SinkState struct {
	// DisabledSince is when the destination reported that it is gone for good, or the operator disabled the sink.
	// Nothing is sent until [Journal.UpdateSink] clears it.
	DisabledSince time.Time `json:"disabled_since,omitzero"`
	// DownSince is when the destination went down. It is being probed.
	DownSince time.Time `json:"down_since,omitzero"`
	// NotBefore is the time of the next probe, and NotedAt what the clock said when it was set.
	NotBefore time.Time `json:"not_before,omitzero"`
	NotedAt   time.Time `json:"noted_at,omitzero"`
	// Refusing is true if the sink is down because it refused several events in a row. Only an accepted event ends
	// that.
	Refusing bool `json:"refusing,omitempty"`
	// Reason is the cause of either condition, in one line.
	Reason string `json:"reason,omitempty"`
	// Alerted is true if an alert has reported a condition, and none yet that it is over.
	Alerted bool `json:"alerted,omitempty"`
}

// Cursor is a lane's position in the journal. The lane has settled every number below Next that is neither open nor
// missing.
type Cursor struct {
	Next uint64 `json:"next"`
	// Open are numbers below Next that are not settled, such as events that wait for a retry.
	Open []Range `json:"open,omitempty"`
	// Missing are numbers below Next that the log had lost when the lane read there, so that they were never delivered.
	Missing []Range `json:"missing,omitempty"`
	// LastID and LastTime are those of the record before Next. A log with another record there was replaced.
	LastID   string    `json:"last_id,omitempty"`
	LastTime time.Time `json:"last_time,omitzero"`
	// Accounts are the accounts of the lane; empty: all. Digests is true if it makes digests. They serve to count
	// pending entries.
	Accounts []string `json:"accounts,omitempty"`
	Digests  bool     `json:"digests,omitempty"`
	// Generation rises with each change, to find the newer of two copies.
	Generation uint64 `json:"generation"`
}

// BackfillBatch is the range of events of one account that a comparison with the history has backfilled: the events of
// the origin backfill in its range. It is the data of a Backfill entry, which follows them in the journal. The batches
// of an account have no event in common.
type BackfillBatch struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	Range
}

// DigestIDPrefix is the prefix of the ids of digests.
const DigestIDPrefix = "dig_"

// DigestID returns the id of a sink's digest of a batch that was journaled at that time.
func DigestID(at time.Time, sink string, m BackfillBatch) string {
	first, last := strconv.FormatUint(m.First, 10), strconv.FormatUint(m.Last, 10)
	return DigestIDPrefix + strings.TrimPrefix(pipeline.NewID(at, pipeline.HashFields(&sink, &m.Account, &first, &last), 0), pipeline.TreatIDPrefix)
}

// SinkState returns the state of a sink, which is zero for one without problems so far.
func (j *Journal) SinkState(ctx context.Context, sink string) (SinkState, error) {
	state, _, err := j.sinkState(ctx, sink)
	return state, err
}

func (j *Journal) sinkState(ctx context.Context, sink string) (state SinkState, revision uint64, err error) {
	value, revision, err := j.cfg.State.Get(ctx, SinkKey(sink))
	if errors.Is(err, ErrNoKey) {
		return state, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &state)
	}
	if err != nil {
		return state, 0, fmt.Errorf("read the state of sink %s: %w", sink, err)
	}
	return state, revision, nil
}

// UpdateSink changes the state of a sink and returns the revision with the change. If another process changes it
// concurrently, the change is applied again. A running lane follows at once, on any node.
func (j *Journal) UpdateSink(ctx context.Context, sink string, change func(*SinkState)) (revision uint64, err error) {
	for {
		state, revision, err := j.sinkState(ctx, sink)
		if err != nil {
			return 0, err
		}
		before := state
		if change(&state); state == before {
			return revision, nil
		}
		value, err := pipeline.EncodeJSON(state)
		if err == nil {
			revision, err = j.cfg.State.Put(ctx, SinkKey(sink), value, revision)
		}
		if err == nil || !errors.Is(err, ErrRevision) {
			if err != nil {
				err = fmt.Errorf("store the state of sink %s: %w", sink, err)
			}
			return revision, err
		}
	}
}

// WatchSink calls changed with the state of a sink, now and after each change, until ctx ends.
func (j *Journal) WatchSink(ctx context.Context, sink string, changed func(state SinkState, revision uint64)) error {
	return j.cfg.State.Watch(ctx, SinkKey(sink), func(value []byte, revision uint64) {
		var state SinkState
		if len(value) == 0 || json.Unmarshal(value, &state) == nil {
			changed(state, revision)
		}
	})
}
