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

// SinkState is what is known of a sink as a whole, over restarts. Zero times mean that it is not so.
type SinkState struct {
	// DisabledSince is when the destination said that it is gone for good, or the operator disabled the sink. Nothing is
	// sent until [Journal.UpdateSink] clears it.
	DisabledSince time.Time `json:"disabled_since,omitzero"`
	// DownSince is when the destination began to fail as a whole. It is being probed.
	DownSince time.Time `json:"down_since,omitzero"`
	// NotBefore is the time of the next probe, and NotedAt what the clock said when that was decided.
	NotBefore time.Time `json:"not_before,omitzero"`
	NotedAt   time.Time `json:"noted_at,omitzero"`
	// Refusing is true while it is down because it refused several events in a row: only one that it accepts ends that.
	Refusing bool `json:"refusing,omitempty"`
	// Reason says in one line why, for either.
	Reason string `json:"reason,omitempty"`
	// Alerted is true once an alert has reported either, and none yet that it is over.
	Alerted bool `json:"alerted,omitempty"`
}

// Cursor is a lane's place in the journal: it has settled every number below Next that is neither open nor missing.
type Cursor struct {
	Next uint64 `json:"next"`
	// Open are the numbers below Next that are not settled, such as events that wait for their next attempt.
	Open []Span `json:"open,omitempty"`
	// Missing are numbers below Next that the log had lost when the lane came there, so that they were never delivered.
	Missing []Span `json:"missing,omitempty"`
	// LastID and LastTime are those of the record before Next. A log that holds another one there was replaced.
	LastID   string    `json:"last_id,omitempty"`
	LastTime time.Time `json:"last_time,omitzero"`
	// Accounts are those that the lane is sent entries of, all if it is empty, and Digests says that it makes digests. What waits for the lane
	// is counted by them.
	Accounts []string `json:"accounts,omitempty"`
	Digests  bool     `json:"digests,omitempty"`
	// Generation rises with each change, so that the newer one of two copies is known.
	Generation uint64 `json:"generation"`
}

// BackfillBatch says which events of one account a comparison with the history has journaled: those of the origin backfill in its span. It is the
// data of an entry of the kind Heal, behind them in the journal, and the marks of an account have no event in common.
type BackfillBatch struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	Span
}

// DigestIDPrefix begins the ids of digests.
const DigestIDPrefix = "dig_"

// DigestID is the id of the digest that a sink is sent of a mark, which was journaled at that time.
func DigestID(at time.Time, sink string, m BackfillBatch) string {
	first, last := strconv.FormatUint(m.First, 10), strconv.FormatUint(m.Last, 10)
	return DigestIDPrefix + strings.TrimPrefix(pipeline.NewID(at, pipeline.HashFields(&sink, &m.Account, &first, &last), 0), pipeline.TreatIDPrefix)
}

// SinkState returns what is known of a sink, which is the zero value for one that never was in trouble.
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

// UpdateSink changes what is known of a sink, and returns the revision that holds the change. The change is applied again when somebody else changed it meanwhile. A lane that
// runs follows at once, wherever it runs.
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
				err = fmt.Errorf("keep the state of sink %s: %w", sink, err)
			}
			return revision, err
		}
	}
}

// WatchSink calls changed with the state of a sink, now and whenever it changes, until ctx ends.
func (j *Journal) WatchSink(ctx context.Context, sink string, changed func(state SinkState, revision uint64)) error {
	return j.cfg.State.Watch(ctx, SinkKey(sink), func(value []byte, revision uint64) {
		var state SinkState
		if len(value) == 0 || json.Unmarshal(value, &state) == nil {
			changed(state, revision)
		}
	})
}
