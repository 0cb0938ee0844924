package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StateBucket is the JetStream key-value bucket, beside the journal, of what relay must know after a restart. Its keys are
// sink.<sink> with a [SinkState], retry.<sink>.<sequence number> for each event that a sink did not accept yet, digest.<sink> with
// the parts of the journal that a sink is told of by digests, and history.<account> with the baseline of an account whose history is
// compared with the journal.
const (
	StateBucket = "RELAY_STATE"
	sinkKey     = "sink."
	retryKey    = "retry."
	digestKey   = "digest."
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
	// Alerted is true once an alert has told of either, and none yet that it is over.
	Alerted bool `json:"alerted,omitempty"`
}

func openState(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, StateBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: StateBucket, Description: "What relay's lanes must know after a restart.", History: 1, Storage: jetstream.FileStorage,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open the lanes' state, bucket %s: %w", StateBucket, err)
	}
	return kv, nil
}

// SinkState returns what is known of a sink, which is the zero value for one that never was in trouble.
func (j *Journal) SinkState(ctx context.Context, sink string) (SinkState, error) {
	state, _, err := j.sinkState(ctx, sink)
	return state, err
}

func (j *Journal) sinkState(ctx context.Context, sink string) (state SinkState, revision uint64, err error) {
	entry, err := j.state.Get(ctx, sinkKey+sink)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return state, 0, nil
	}
	if err == nil {
		revision = entry.Revision()
		err = json.Unmarshal(entry.Value(), &state)
	}
	if err != nil {
		return state, 0, fmt.Errorf("read the state of sink %s: %w", sink, err)
	}
	return state, revision, nil
}

// UpdateSink changes what is known of a sink. The change is applied again when somebody else changed it meanwhile. A lane that
// runs follows at once, wherever it runs.
func (j *Journal) UpdateSink(ctx context.Context, sink string, change func(*SinkState)) error {
	_, err := j.updateSink(ctx, sink, change)
	return err
}

func (j *Journal) updateSink(ctx context.Context, sink string, change func(*SinkState)) (revision uint64, err error) {
	for {
		state, revision, err := j.sinkState(ctx, sink)
		if err != nil {
			return 0, err
		}
		before := state
		if change(&state); state == before {
			return revision, nil
		}
		data, err := EncodeJSON(state)
		if err == nil && revision == 0 {
			revision, err = j.state.Create(ctx, sinkKey+sink, data)
		} else if err == nil {
			revision, err = j.state.Update(ctx, sinkKey+sink, data, revision)
		}
		switch refused, ok := errors.AsType[*jetstream.APIError](err); {
		case err == nil:
			return revision, nil
		case errors.Is(err, jetstream.ErrKeyExists), ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		default:
			return 0, fmt.Errorf("keep the state of sink %s: %w", sink, err)
		}
	}
}

// followSink hands the state of a sink to visit, now and whenever it changes, until ctx ends or the connection is lost: the client
// would take 20 s to notice that the server does not know of its watch any more.
func (j *Journal) followSink(ctx context.Context, sink string, visit func(state SinkState, revision uint64)) error {
	lost := j.nc.StatusChanged(nats.RECONNECTING)
	defer j.nc.RemoveStatusListener(lost)
	watch, err := j.state.Watch(ctx, sinkKey+sink, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("follow the state of sink %s: %w", sink, err)
	}
	defer watch.Stop() //nolint:errcheck // The server removes it by itself.
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
			return errConnLost
		case entry, ok := <-watch.Updates():
			if !ok {
				return nil
			}
			var state SinkState
			if entry != nil && json.Unmarshal(entry.Value(), &state) == nil { // nil: that was all so far
				visit(state, entry.Revision())
			}
		}
	}
}

// A retry is an event that a sink did not accept, and when it is its turn again.
type retry struct {
	Seq      uint64    `json:"-"`
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	First    time.Time `json:"first"` // the first attempt
	Last     time.Time `json:"last"`  // the latest
	Next     time.Time `json:"next"`  // when it is its turn
	Floor    time.Time `json:"floor"` // the destination asked not to be sent it before
	Attempts int       `json:"attempts"`
	// Aside is true once later events of its account may pass it. Its place in the lane's cursor is given up then.
	Aside bool `json:"aside,omitempty"`
}

func retrySubject(sink string, seq uint64) string {
	return retryKey + sink + "." + strconv.FormatUint(seq, 10)
}

// putRetry returns when it is on disk.
func (j *Journal) putRetry(ctx context.Context, sink string, r retry) error {
	r.First, r.Last, r.Next, r.Floor = onDisk(r.First), onDisk(r.Last), onDisk(r.Next), onDisk(r.Floor)
	data, err := EncodeJSON(r)
	if err == nil {
		_, err = j.state.Put(ctx, retrySubject(sink, r.Seq), data)
	}
	if err != nil {
		return fmt.Errorf("keep the retry of event %s: %w", r.ID, err)
	}
	return nil
}

// dropRetry forgets a retry, and leaves nothing of it in the bucket.
func (j *Journal) dropRetry(ctx context.Context, sink string, seq uint64) error {
	stream, err := j.js.Stream(ctx, "KV_"+StateBucket)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject("$KV."+StateBucket+"."+retrySubject(sink, seq)))
	}
	if err != nil {
		return fmt.Errorf("forget a retry of sink %s: %w", sink, err)
	}
	return nil
}

// retries returns all retries of a sink.
func (j *Journal) retries(ctx context.Context, sink string) ([]retry, error) {
	prefix := retryKey + sink + "."
	watch, err := j.state.Watch(ctx, prefix+"*", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read the retries of sink %s: %w", sink, err)
	}
	defer watch.Stop() //nolint:errcheck // The server removes it by itself.
	var all []retry
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read the retries of sink %s: %w", sink, context.Cause(ctx))
		case entry, ok := <-watch.Updates():
			if !ok || entry == nil { // that was all
				return all, nil
			}
			var r retry
			seq, err := strconv.ParseUint(strings.TrimPrefix(entry.Key(), prefix), 10, 64)
			if err == nil {
				err = json.Unmarshal(entry.Value(), &r)
			}
			if err != nil {
				return nil, fmt.Errorf("read the retries of sink %s: %s: %w", sink, entry.Key(), err)
			}
			r.Seq = seq
			all = append(all, r)
		}
	}
}

// Retries is how many events a sink did not accept yet and will be given again.
func (j *Journal) Retries(ctx context.Context, sink string) (int, error) {
	all, err := j.retries(ctx, sink)
	return len(all), err
}
